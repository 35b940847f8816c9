"""One vector for a whole image: what PMKL's contrastive distillation compares."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from pkdr_monai.losses.inputs import at_least_float32

__all__ = ["DescriptorHead"]


class DescriptorHead(nn.Module):
    """Describe an image by one vector of length 1, for student and teacher each by a head of its own; both learn.

    The mean of the last decoder feature over all voxels, then two linear layers with a ReLU between them, the second
    without bias. Widths are those of PMKL's public code, in which neither layer has a bias, so that its descriptor does
    not depend on the feature's scale; the first layer's was kept here for the results recorded with it. The code pools
    a window of 40 voxels a side at stride 1 over crops of 80; the mean over the whole crop is the equivalent taken,
    which suits any crop.

    Args:
        in_channels: channels of the decoder feature.
        hidden_channels: width between the layers.
        out_channels: length of the descriptor.

    Raises:
        ValueError: when a width is not positive.

    Example:
        >>> descriptor = DescriptorHead(16)(torch.rand(2, 16, 8, 8, 8))
        >>> tuple(descriptor.shape), [f"{length:.2f}" for length in descriptor.norm(dim=1)]
        ((2, 16), ['1.00', '1.00'])
    """

    inputs: ClassVar[tuple[str, ...]] = ("decoder_feature",)

    def __init__(self, in_channels: int, hidden_channels: int = 32, out_channels: int = 16) -> None:
        super().__init__()
        if min(in_channels, hidden_channels, out_channels) < 1:
            raise ValueError(
                "in_channels, hidden_channels and out_channels must be positive, "
                f"got {in_channels}, {hidden_channels} and {out_channels}."
            )
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, out_channels, bias=False),
        )

    def forward(self, decoder_feature: torch.Tensor) -> torch.Tensor:
        """Return descriptors, ``(B, out_channels)``, of a feature, ``(B, in_channels, X, Y, Z)``."""
        dtype = torch.promote_types(decoder_feature.dtype, torch.float32)
        pooled = decoder_feature.mean((2, 3, 4), dtype=dtype)  # (B, in_channels), summed beyond low precision
        return F.normalize(at_least_float32(self.layers(pooled)), dim=1)
