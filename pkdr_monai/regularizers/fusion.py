"""Table 2, "Fusion" (SF-Net): the bottleneck has to know how to blend two modalities into one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from monai.losses import SSIMLoss
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.losses.base import (
    DistillationLoss,
    at_least_float32,
    check_same_shape,
    full_precision,
    predicted_by_student,
)
from pkdr_monai.modalities import MODALITIES, channel_indices
from pkdr_monai.regularizers.vae import SkiplessDecoder

__all__ = ["FusionHead", "FusionLoss", "min_max_scaled"]

BASE, PARTNERS = "t1ce", ("t2", "flair")  # each partner is blended with the base
NEEDS = ("logits", "image", "fusion.weight_logits", "fusion.log_variance")
"""The tensors of the student that the loss needs."""


class FusionHead(nn.Module):
    """Say for each voxel how much of T2, and how much of FLAIR, a picture blended with T1ce should take.

    SF-Net's fusion decoder (Liu et al. 2022): from the bottleneck, without skips, to two weight maps. The head also
    owns the one number that balances both tasks, the log-variance ``s`` of the uncertainty weighting, which starts at
    0. The loss has no parameters of its own: ``s`` travels with the maps, so that it is trained, saved with the
    distiller and averaged between several GPUs like every other parameter.

    Args:
        in_channels: channels of the bottleneck, a multiple of 16.

    Example:
        >>> result = FusionHead(32)(torch.zeros(1, 32, 2, 1, 1), torch.zeros(1, 4, 32, 16, 16))
        >>> {name: tuple(tensor.shape) for name, tensor in result.items()}
        {'weight_logits': (1, 2, 32, 16, 16), 'log_variance': ()}
    """

    inputs: ClassVar[tuple[str, ...]] = ("embedding", "image")

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.decoder = SkiplessDecoder(in_channels, len(PARTNERS))
        self.log_variance = nn.Parameter(torch.zeros(()))

    def forward(self, embedding: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Return ``weight_logits``, ``(B, 2, X, Y, Z)``, and ``log_variance``, a scalar.

        Args:
            embedding: the bottleneck, ``(B, in_channels, x, y, z)``.
            image: what the network saw, ``(B, M, X, Y, Z)``; only its sides matter.
        """
        return {"weight_logits": self.decoder(embedding, image), "log_variance": self.log_variance}


class FusionLoss(DistillationLoss):
    r"""Segment the tumour and blend pictures that keep what two modalities show.

    With weight maps :math:`w_k`, the blends are :math:`F_1 = w_1 T2 + (1 - w_1) T1ce` and
    :math:`F_2 = w_2 FLAIR + (1 - w_2) T1ce`, and with :math:`B_1 = T2`, :math:`B_2 = FLAIR`

    .. math::
        L_{fus} = \sum_{k=1}^2 \big[ 2 \, \mathrm{MSE}(F_k, B_k) + \mathrm{MSE}(F_k, T1ce)
        + 2 (1 - \mathrm{SSIM}(F_k, T1ce)) + (1 - \mathrm{SSIM}(F_k, B_k)) \big]

        L = L_{seg} + e^{-s} L_{fus} + s

    Sure, from the authors' public code: both equations, the pairs, the missing T1, the learnable :math:`s`. Ours: each
    modality of each crop is scaled to [0, 1] by its own extremes and SSIM has range 1 to fit, where the original blends
    z-scored images with range 2, so that the MSE here is 23 to 40 times weaker beside SSIM; its window is 7, Gaussian,
    where the original's has sigma 1.837; :math:`L_{seg}` is the paper's Eq. 8, for all rows of Table 2.

    Args:
        modalities: the channels of the image that the network sees; T1ce, T2 and FLAIR have to be among them.
        window: side of SSIM's window in voxels, odd; no side of a crop may be smaller.
        segmentation: loss for Eq. 8; ``None`` means :class:`~pkdr_monai.losses.SegmentationLoss` with its defaults.

    Attributes:
        parts: after a call, the terms ``segmentation``, ``fusion`` and ``fusion_log_variance``, which is :math:`s`.

    Raises:
        ValueError: when a modality is missing or the window is not an odd number above 0.

    Example:
        >>> image = torch.rand(1, 1, 16, 16, 16).expand(-1, 4, -1, -1, -1)
        >>> student = {"logits": torch.zeros(1, 3, 16, 16, 16), "image": image}
        >>> student |= {"fusion.weight_logits": torch.zeros(1, 2, 16, 16, 16), "fusion.log_variance": torch.zeros(())}
        >>> loss = FusionLoss()
        >>> _ = loss({"student": student}, torch.zeros(1, 3, 16, 16, 16))
        >>> f"{loss.parts['fusion'].abs():.3f}"  # equal modalities blend without loss
        '0.000'
    """

    described: ClassVar[tuple[str, ...]] = ("window",)

    def __init__(
        self, modalities: Sequence[str] = MODALITIES, window: int = 7, segmentation: _Loss | None = None
    ) -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"FusionLoss expects window to be an odd number above 0, but it is {window!r}.")
        self.channels = channel_indices((BASE, *PARTNERS), modalities)
        self.window = window
        self.ssim_loss = SSIMLoss(spatial_dims=3, data_range=1.0, win_size=window)
        self.segmentation = segmentation or SegmentationLoss()

    def forward(self, prediction: Mapping[str, Mapping[str, Tensor]], label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its parts in :attr:`parts`.

        Args:
            prediction: ``{"student": ...}`` with ``logits``, ``image`` and, from a :class:`FusionHead` named
                ``fusion``, ``fusion.weight_logits`` and ``fusion.log_variance``.
            label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing, shapes do not fit or the crop is smaller than the window.
        """
        logits, image, weight_logits, log_variance = predicted_by_student("FusionLoss", prediction, NEEDS)
        terms = {
            "segmentation": self.segmentation(logits, label),
            "fusion": self._fusion(image, weight_logits),
            "fusion_log_variance": log_variance,
        }
        self.parts = {name: value.detach().clone() for name, value in terms.items()}
        return terms["segmentation"] + torch.exp(-log_variance) * terms["fusion"] + log_variance

    def _fusion(self, image: Tensor, weight_logits: Tensor) -> Tensor:
        if min(image.shape[2:]) < self.window:
            raise ValueError(
                f"FusionLoss compares windows of {self.window} voxels a side, but the crop is "
                f"{tuple(image.shape[2:])}. Take a larger crop or a smaller window."
            )
        scaled = min_max_scaled(at_least_float32(image))[:, list(self.channels)]
        base, partner = scaled[:, :1].expand(-1, len(PARTNERS), -1, -1, -1), scaled[:, 1:]  # (B, 2, X, Y, Z) each
        check_same_shape("FusionLoss", "The head has to see the crop.", weight_logits=weight_logits, partner=partner)
        weight = torch.sigmoid(at_least_float32(weight_logits))
        blend = weight * partner + (1 - weight) * base  # (B, 2, X, Y, Z)
        with full_precision(blend):  # SSIM subtracts squares, of which bfloat16 leaves nothing
            structure = 2 * self.ssim_loss(blend, base) + self.ssim_loss(blend, partner)
        means = 2 * F.mse_loss(blend, partner) + F.mse_loss(blend, base) + structure
        return len(PARTNERS) * means  # the means run over both blends, where the equation has their sum


def min_max_scaled(image: Tensor) -> Tensor:
    """Scale each modality of each crop to [0, 1] by its own extremes; a constant one becomes 0.

    Example:
        >>> min_max_scaled(torch.tensor([-1.0, 0.0, 3.0]).reshape(1, 1, 3, 1, 1)).flatten()
        tensor([0.0000, 0.2500, 1.0000])
    """
    low, high = image.amin([2, 3, 4], keepdim=True), image.amax([2, 3, 4], keepdim=True)  # (B, M, 1, 1, 1) each
    return (image - low) / (high - low).clamp(min=torch.finfo(image.dtype).tiny)
