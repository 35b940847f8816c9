"""Small heads on a network's features. A head names what it reads in ``inputs``; the Distiller hands it over."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

__all__ = ["PatchSelectionHead", "Projector", "RawEmbedding"]


class PatchSelectionHead(nn.Module):
    """Say, for each patch and region, whether the patch holds any voxel of the region (paper, section 2.1).

    The paper does not define the head. One 1x1x1 convolution on the bottleneck is the reading taken: nothing but the
    encoder can then do the work, which is what a regulariser of the encoder is for.

    Args:
        in_channels: channels of the bottleneck embedding.
        out_channels: number of regions.

    Example:
        >>> tuple(PatchSelectionHead(256)(torch.zeros(1, 256, 6, 8, 8)).shape)
        (1, 3, 6, 8, 8)
    """

    inputs: ClassVar[tuple[str, ...]] = ("embedding",)

    def __init__(self, in_channels: int, out_channels: int = 3) -> None:
        super().__init__()
        self.output = nn.Conv3d(in_channels, out_channels, kernel_size=1)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return patch logits, ``(B, out_channels, x, y, z)``, from an embedding, ``(B, in_channels, x, y, z)``."""
        return self.output(embedding)


class Projector(nn.Module):
    """Map patch embeddings into the space where student and teacher are compared (paper, section 2.3).

    "Two-layer convolution following SimCLR" (Chen et al. 2020): 1x1x1 convolution, ReLU, 1x1x1 convolution, so that one
    vector still stands for one patch. The paper gives no widths; 256 hidden and 128 output channels are the reading.
    The contrastive loss normalises the vectors.

    Args:
        in_channels: channels of the bottleneck embedding.
        hidden_channels: channels between the two layers; ``in_channels`` by default.
        out_channels: channels of the projection.

    Example:
        >>> tuple(Projector(256)(torch.zeros(1, 256, 6, 8, 8)).shape)
        (1, 128, 6, 8, 8)
    """

    inputs: ClassVar[tuple[str, ...]] = ("embedding",)

    def __init__(self, in_channels: int, hidden_channels: int | None = None, out_channels: int = 128) -> None:
        super().__init__()
        hidden_channels = hidden_channels or in_channels
        self.layers = nn.Sequential(
            nn.Conv3d(in_channels, hidden_channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(hidden_channels, out_channels, kernel_size=1),
        )

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return projections, ``(B, out_channels, x, y, z)``, of an embedding, ``(B, in_channels, x, y, z)``."""
        return self.layers(embedding)


class RawEmbedding(nn.Module):
    """Hand the embedding on as it is: a teacher's side of the contrast without a projector of its own.

    The student's :class:`Projector` then has to map onto the teacher's vectors, with as many channels as they have.

    Example:
        >>> tuple(RawEmbedding()(torch.zeros(1, 256, 6, 8, 8)).shape)
        (1, 256, 6, 8, 8)
    """

    inputs: ClassVar[tuple[str, ...]] = ("embedding",)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return the embedding, ``(B, C, x, y, z)``."""
        return embedding
