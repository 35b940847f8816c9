"""A decoder that knows the bottleneck alone: what the image subtasks put behind the encoder."""

from __future__ import annotations

import torch
from torch import nn

from pkdr_monai.networks.blocks import CONVOLUTIONS, convolutions, crop_to, scaling

__all__ = ["SkiplessDecoder"]

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
