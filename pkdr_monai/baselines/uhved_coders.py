"""What U-HVED is built of: an encoder for one modality, and a decoder from the codes that all of them share."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["LEVELS", "LatentDecoder", "ModalityEncoder"]

LEVELS = 4
NEGATIVE_SLOPE = 0.02  # of NiftyNet's leaky ReLU


class ModalityEncoder(nn.Module):
    """Describe one modality at four resolutions, each voxel by the mean and log-variance of a few Gaussian codes.

    A 1x1x1 convolution with leaky ReLU, then four levels of two (instance norm, leaky ReLU, 3x3x3 convolution), with
    2x2x2 max-pooling between them. The released code calls a level "ResBlock" but adds no residual.

    Args:
        init_filters: channels at full resolution; they double at each level. Half are means, half log-variances.

    Example:
        >>> [tuple(level.shape[1:]) for level in ModalityEncoder(8)(torch.zeros(1, 1, 16, 16, 24))]
        [(8, 16, 16, 24), (16, 8, 8, 12), (32, 4, 4, 6), (64, 2, 2, 3)]
    """

    def __init__(self, init_filters: int = 8) -> None:
        super().__init__()
        widths = [init_filters * 2**level for level in range(LEVELS)]
        self.stem = nn.Sequential(
            nn.Conv3d(1, init_filters, kernel_size=1, bias=False), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)
        )
        self.levels = nn.ModuleList()
        for level, width in enumerate(widths):
            narrow = widths[max(level - 1, 0)]
            pool: list[nn.Module] = [nn.MaxPool3d(2)] if level else []
            self.levels.append(nn.Sequential(*pool, _convolution(narrow, width), _convolution(width, width)))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return means and log-variances of each level, full resolution first, from ``(B, 1, X, Y, Z)``.

        Level ``l`` is ``(B, init_filters 2^l, X/2^l, Y/2^l, Z/2^l)``: means in the first half of the channels,
        log-variances in the second, not yet clipped.
        """
        codes: list[torch.Tensor] = []
        x = self.stem(x)
        for level in self.levels:
            x = level(x)
            codes.append(x)
        return codes


class LatentDecoder(nn.Module):
    """Turn the fused codes of four resolutions into one volume: a modality's image, or the segmentation.

    From the coarsest level up: trilinear upsampling, concatenation with the next level's codes, and two (instance norm,
    leaky ReLU, 3x3x3 convolution), the second of which halves the channels. At the end a 1x1x1 convolution.

    Args:
        out_channels: channels of the volume.
        init_filters: as the encoders have it.

    Example:
        >>> codes = [torch.zeros(1, 4 * 2**level, *[16 // 2**level] * 3) for level in range(4)]
        >>> tuple(LatentDecoder(3, 8)(codes).shape)
        (1, 3, 16, 16, 16)
    """

    def __init__(self, out_channels: int, init_filters: int = 8) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)
        self.levels = nn.ModuleList()
        for level in reversed(range(LEVELS - 1)):
            width = init_filters * 2**level
            # both parts of the concatenation: ``width`` channels from below, ``width / 2`` codes of this level
            self.levels.append(nn.Sequential(_convolution(width + width // 2, width), _convolution(width, width // 2)))
        self.output = nn.Conv3d(init_filters // 2, out_channels, kernel_size=1)

    def forward(self, codes: list[torch.Tensor]) -> torch.Tensor:
        """Return the volume, ``(B, out_channels, X, Y, Z)``, from the codes of each level, full resolution first."""
        finer = len(codes) - 2
        x = codes[-1]
        for level in self.levels:
            x = level(torch.cat([self.up(x), codes[finer]], dim=1))
            finer -= 1
        return self.output(x)


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.InstanceNorm3d(in_channels, affine=True),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
    )
