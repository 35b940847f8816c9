"""MONAI's own V-Net, Milletari's 5x5x5 residual network, behind the contract of the networks here."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from monai.networks.nets import VNet
from torch import nn

from pkdr_monai.networks.blocks import STRIDE, PatchSelectionHead, crop_to, pad_to_stride, refuse_wrong_gradients

__all__ = ["MonaiVNet"]

FILTERS = 16  # channels at full resolution, fixed in MONAI
KERNEL_SIZE = 5


class MonaiVNet(nn.Module):
    """MONAI's ``VNet`` in place of the :class:`~pkdr_monai.networks.PatchVNet`: the network that the paper cites.

    It is a control. The paper cites Milletari et al. 2016, of which this is MONAI's version: 5x5x5 convolutions,
    residual blocks, concatenated skips, dropout, about 45.6 M parameters. Its total stride is 16 too, so a voxel of its
    bottleneck stands for the same 16x16x16 patch.

    MONAI's module is used as it is. It takes only numbers of modalities that divide 16; others (three) get channels of
    zeros up to the next that does, which adds no parameter and leaves one, two and four modalities exactly MONAI's.
    Sides that 16 does not divide are padded with zeros at their end and the outputs cropped back.

    Args:
        in_channels: number of modalities, 1 to 16.
        out_channels: number of segmented regions.
        patch_head: own a :class:`~pkdr_monai.networks.PatchSelectionHead`, as a teacher does.

    Raises:
        ValueError: when a channel count is out of range.

    Example:
        >>> network = MonaiVNet(in_channels=3)
        >>> tuple(network.eval()(torch.zeros(1, 3, 24, 16, 16)).shape)
        (1, 3, 24, 16, 16)
    """

    def __init__(self, in_channels: int, out_channels: int = 3, patch_head: bool = False) -> None:
        super().__init__()
        if not 1 <= in_channels <= FILTERS or out_channels < 1:
            raise ValueError(
                f"MonaiVNet expects 1 to {FILTERS} in_channels and a positive number of out_channels, "
                f"got {in_channels} and {out_channels}."
            )
        divisor = next(number for number in range(in_channels, FILTERS + 1) if FILTERS % number == 0)
        self.blank_channels = divisor - in_channels
        self.vnet = VNet(spatial_dims=3, in_channels=divisor, out_channels=out_channels)
        self.stride = STRIDE
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.embedding_channels = FILTERS * 2**4
        self.feature_channels = FILTERS * 2
        self.patch_head = PatchSelectionHead(self.embedding_channels, out_channels) if patch_head else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return segmentation logits, ``(B, out_channels, X, Y, Z)``, from an image, ``(B, in_channels, X, Y, Z)``.

        Raises:
            ValueError: when ``x`` has other channels or a side under 16.
        """
        return crop_to(self.vnet(self._padded(x)), x)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all that a training loss may read, in one pass.

        Args:
            x: image, ``(B, in_channels, X, Y, Z)``.

        Returns:
            ``logits`` ``(B, out_channels, X, Y, Z)``; ``embedding``, the bottleneck, ``(B, 256, x, y, z)`` with
            ``x = ceil(X / 16)``; ``decoder_feature``, what MONAI's output block sees, ``(B, 32, X, Y, Z)``; and, where
            the network owns a patch head, ``patch_logits`` ``(B, out_channels, x, y, z)``.

        Raises:
            InputError: where bfloat16 training on the CPU would compute wrong gradients silently.
        """
        refuse_wrong_gradients(self, x, STRIDE, KERNEL_SIZE)
        net = self.vnet
        levels = [net.in_tr(self._padded(x))]
        for down in (net.down_tr32, net.down_tr64, net.down_tr128, net.down_tr256):
            levels.append(down(levels[-1]))
        embedding = feature = levels.pop()
        for up in (net.up_tr256, net.up_tr128, net.up_tr64, net.up_tr32):
            feature = up(feature, levels.pop())
        features = {
            "logits": crop_to(net.out_tr(feature), x),
            "embedding": embedding,
            "decoder_feature": crop_to(feature, x),
        }
        if self.patch_head is not None:
            features["patch_logits"] = self.patch_head(embedding)
        return features

    def _padded(self, x: torch.Tensor) -> torch.Tensor:
        x = pad_to_stride(x, self.in_channels, self.stride)
        return F.pad(x, [0, 0, 0, 0, 0, 0, 0, self.blank_channels])
