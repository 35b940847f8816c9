"""Table 2, "VAE": the bottleneck has to hold what it takes to draw the image again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.losses.base import (
    DistillationLoss,
    at_least_float32,
    check_positive,
    check_same_shape,
    predicted_by_student,
)
from pkdr_monai.networks.blocks import CONVOLUTIONS, STRIDE, convolutions, crop_to, scaling

__all__ = ["SkiplessDecoder", "VAEHead", "VAELoss", "kl_divergence"]

LEVELS = len(CONVOLUTIONS) - 1


class SkiplessDecoder(nn.Module):
    """Make an image from the bottleneck without looking at the encoder's finer levels.

    With no skips, whatever the image shows has to pass through the bottleneck: that is what teaches the encoder. The
    steps are those of the segmentation decoder, with weights of their own: a transposed convolution that doubles every
    side and halves the channels, then 3, 3, 2 and 1 convolutions; a 1x1x1 convolution ends it. Both original papers
    likewise repeat their own segmentation decoder (residual blocks there) without skips.

    Args:
        in_channels: channels of the bottleneck, a multiple of 16.
        out_channels: channels of the image.

    Raises:
        ValueError: when ``in_channels`` cannot be halved four times.

    Example:
        >>> tuple(SkiplessDecoder(32, 2)(torch.zeros(2, 32, 2, 1, 1), torch.zeros(2, 4, 20, 16, 16)).shape)
        (2, 2, 20, 16, 16)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        if in_channels < 1 or in_channels % 2**LEVELS:
            raise ValueError(f"SkiplessDecoder expects in_channels to be a multiple of {2**LEVELS}, got {in_channels}.")
        steps: list[nn.Module] = []
        for level, count in enumerate(reversed(CONVOLUTIONS[:-1])):
            wide, narrow = in_channels // 2**level, in_channels // 2 ** (level + 1)
            steps += [scaling(nn.ConvTranspose3d, wide, narrow), convolutions(narrow, narrow, count)]
        self.steps = nn.Sequential(*steps)
        self.output = nn.Conv3d(in_channels // 2**LEVELS, out_channels, kernel_size=1)

    def forward(self, embedding: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Return ``(B, out_channels, X, Y, Z)`` from an embedding, ``(B, in_channels, x, y, z)``.

        Args:
            embedding: the bottleneck.
            image: what the encoder saw; it says the sides X, Y, Z only.
        """
        return crop_to(self.output(self.steps(embedding)), image)


NEEDS = ("logits", "image", "vae.reconstruction", "vae.mean", "vae.log_variance")
"""The tensors of the student that the loss needs."""


class VAEHead(nn.Module):
    """Squeeze the bottleneck into a few Gaussian numbers, and draw the image from a sample of them.

    The variational branch of Myronenko (2018, "3D MRI brain tumor segmentation using autoencoder regularization"):
    3x3x3 convolution to 16 channels, one dense layer to the mean and the log-variance of 128 numbers; a sample of them,
    by the reparameterisation trick, goes through a dense layer, a ReLU, a 1x1x1 convolution back to the bottleneck's
    channels, and a decoder without skips.

    Choices. Sure, from descriptions of the method: 16 channels, 128 numbers, an own decoder (MONAI's ``SegResNetVAE``
    shares that of the segmentation), no skips. Ours: the convolution has stride 1, as this network's bottleneck already
    lies at 1/16, where the original's stride 2 leads; no norm and ReLU before it, since the bottleneck ends with both;
    the decoder's steps (see :class:`~pkdr_monai.regularizers.vae.SkiplessDecoder`); the log-variance, not the
    standard deviation, is what the dense layer gives, so that it needs no bounds. In eval mode the mean is the sample.

    Args:
        in_channels: channels of the bottleneck.
        image_channels: modalities to draw.
        image_size: sides of the training crop; a dense layer allows no other.
        latent_channels: number of Gaussian numbers.
        hidden_channels: channels before the dense layer and after it.

    Raises:
        ValueError: when a number is not positive.

    Example:
        >>> head = VAEHead(32, image_channels=4, image_size=[32, 16, 16])
        >>> result = head(torch.zeros(2, 32, 2, 1, 1), torch.zeros(2, 4, 32, 16, 16))
        >>> {name: tuple(tensor.shape) for name, tensor in result.items()}
        {'reconstruction': (2, 4, 32, 16, 16), 'mean': (2, 128), 'log_variance': (2, 128)}
    """

    inputs: ClassVar[tuple[str, ...]] = ("embedding", "image")

    def __init__(
        self,
        in_channels: int,
        image_channels: int,
        image_size: Sequence[int],
        latent_channels: int = 128,
        hidden_channels: int = 16,
    ) -> None:
        super().__init__()
        numbers = (in_channels, image_channels, *image_size, latent_channels, hidden_channels)
        if len(image_size) != 3 or min(numbers) < 1:
            raise ValueError(
                "VAEHead expects positive channel counts and an image_size of three positive sides, "
                f"got {in_channels}, {image_channels}, {list(image_size)}, {latent_channels} and {hidden_channels}."
            )
        self.image_size = tuple(image_size)
        self.grid = tuple(-(-side // STRIDE) for side in image_size)
        flat = hidden_channels * math.prod(self.grid)
        self.squeeze = nn.Conv3d(in_channels, hidden_channels, kernel_size=3, padding=1)
        self.moments = nn.Linear(flat, 2 * latent_channels)
        self.expand = nn.Linear(latent_channels, flat)
        self.widen = nn.Conv3d(hidden_channels, in_channels, kernel_size=1)
        self.decoder = SkiplessDecoder(in_channels, image_channels)

    def forward(self, embedding: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Return ``reconstruction`` ``(B, image_channels, X, Y, Z)``, ``mean`` and ``log_variance`` ``(B, latent)``.

        Args:
            embedding: the bottleneck, ``(B, in_channels, x, y, z)``.
            image: what the network saw, ``(B, M, X, Y, Z)``; only its sides matter.

        Raises:
            ValueError: when the crop is not of the size that the head was built for.
        """
        if tuple(embedding.shape[2:]) != self.grid or tuple(image.shape[2:]) != self.image_size:
            raise ValueError(
                f"VAEHead was built for crops of {self.image_size} and a bottleneck of {self.grid}, but got "
                f"{tuple(image.shape[2:])} and {tuple(embedding.shape[2:])}. Give it the training crop as image_size."
            )
        moments = at_least_float32(self.moments(self.squeeze(embedding).flatten(1)))
        mean, log_variance = moments.chunk(2, dim=1)  # (B, latent) each
        sample = mean
        if self.training:
            sample = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        grid = F.relu(self.expand(sample)).unflatten(1, (-1, *self.grid))  # (B, hidden, x, y, z)
        reconstruction = self.decoder(self.widen(grid), image)
        return {"reconstruction": reconstruction, "mean": mean, "log_variance": log_variance}


class VAELoss(DistillationLoss):
    r"""Segment the tumour and, on the side, draw the image again.

    .. math::
        L = L_{seg} + 0.1 \, \mathrm{MSE}(x, \hat x) + 0.1 \, \frac{1}{N}
        \sum_k \big( \mu_k^2 + \sigma_k^2 - \log \sigma_k^2 - 1 \big)

    with :math:`N` the number of voxels of the crop, which makes the last term, the distance from the standard normal
    distribution, very small. The weights and :math:`N` are Myronenko's. The mean of the squared error, not its sum, and
    the mean of both terms over the batch are the reading taken; :math:`L_{seg}` is the paper's Eq. 8 where the original
    has Dice alone, so that all rows of Table 2 share it.

    Args:
        reconstruction_weight: weight of the squared error.
        kl_weight: weight of the distance from the standard normal distribution.
        segmentation: loss for Eq. 8; ``None`` means :class:`~pkdr_monai.losses.SegmentationLoss` with its defaults.

    Attributes:
        parts: after a call, the terms ``segmentation``, ``reconstruction`` and ``kl`` before their weights.

    Raises:
        ValueError: when a weight is not a finite number above 0.

    Example:
        >>> student = {"logits": torch.zeros(1, 3, 16, 16, 16), "image": torch.ones(1, 4, 16, 16, 16)}
        >>> student |= {"vae.reconstruction": torch.zeros(1, 4, 16, 16, 16)}
        >>> student |= {"vae.mean": 2 * torch.ones(1, 128), "vae.log_variance": torch.zeros(1, 128)}
        >>> loss = VAELoss()
        >>> _ = loss({"student": student}, torch.zeros(1, 3, 16, 16, 16))
        >>> f"{loss.parts['reconstruction']:.3f} {loss.parts['kl']:.3f}"
        '1.000 0.125'
    """

    described: ClassVar[tuple[str, ...]] = ("reconstruction_weight", "kl_weight")

    def __init__(
        self, reconstruction_weight: float = 0.1, kl_weight: float = 0.1, segmentation: _Loss | None = None
    ) -> None:
        super().__init__()
        check_positive("VAELoss", reconstruction_weight=reconstruction_weight)
        check_positive("VAELoss", kl_weight=kl_weight)
        self.reconstruction_weight = reconstruction_weight
        self.kl_weight = kl_weight
        self.segmentation = segmentation or SegmentationLoss()

    def forward(self, prediction: Mapping[str, Mapping[str, Tensor]], label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its parts in :attr:`parts`.

        Args:
            prediction: ``{"student": ...}`` with ``logits``, ``image`` and, from a :class:`VAEHead` named ``vae``,
                ``vae.reconstruction``, ``vae.mean`` and ``vae.log_variance``.
            label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing or shapes do not fit.
        """
        logits, image, reconstruction, mean, log_variance = predicted_by_student("VAELoss", prediction, NEEDS)
        remedy = "The head has to draw as many modalities as the network sees."
        check_same_shape("VAELoss", remedy, image=image, reconstruction=reconstruction)
        terms = {
            "segmentation": self.segmentation(logits, label),
            "reconstruction": F.mse_loss(at_least_float32(reconstruction), at_least_float32(image)),
            "kl": kl_divergence(mean, log_variance, voxels=math.prod(image.shape[2:])),
        }
        self.keep(terms)
        weighted = self.reconstruction_weight * terms["reconstruction"] + self.kl_weight * terms["kl"]
        return terms["segmentation"] + weighted


def kl_divergence(mean: Tensor, log_variance: Tensor, voxels: int) -> Tensor:
    """Distance of Gaussians from the standard one, summed, divided by the voxels of the crop; the mean over the batch.

    The usual factor 1/2 is not in Myronenko's equation.

    Args:
        mean: ``(B, K)``.
        log_variance: logarithm of the squared standard deviation, ``(B, K)``.
        voxels: number of positions of the crop, its modalities not counted.
    """
    mean, log_variance = at_least_float32(mean), at_least_float32(log_variance)
    distance = mean.square() + log_variance.exp() - log_variance - 1  # (B, K)
    return distance.sum(1).mean() / voxels
