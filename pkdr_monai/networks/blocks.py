"""What a network is built of: convolution blocks, heads, and the sizes and precisions that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from pkdr_monai.errors import InputError

__all__ = [
    "CONVOLUTIONS",
    "KERNEL_SIZE",
    "NORMS",
    "STRIDE",
    "DecoderHintHead",
    "PatchSelectionHead",
    "Projector",
    "RawEmbedding",
    "convolutions",
    "crop_to",
    "pad_to_stride",
    "refuse_wrong_gradients",
    "require_roi_size",
    "scaling",
]

CONVOLUTIONS = (1, 2, 3, 3, 3)
"""Convolutions a level of the V-Net, from full resolution down to the bottleneck."""

STRIDE = 16
"""Voxels a side of what one voxel of the bottleneck stands for."""

KERNEL_SIZE = 3

NORMS = ("batch", "instance")
"""What may stand between a convolution and its ReLU."""


class InstanceNorm(nn.InstanceNorm3d):
    """torch's instance norm, which also takes a feature of one voxel: its own mean, so that only the shift is left.

    Example:
        >>> InstanceNorm(1, affine=True)(torch.ones(1, 1, 1, 1, 1)).item()
        0.0
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise each channel of each image, ``(B, C, X, Y, Z)``."""
        return torch.instance_norm(input, self.weight, self.bias, None, None, True, 0.0, self.eps, True)


def convolutions(in_channels: int, out_channels: int, count: int, norm: str = "batch") -> nn.Sequential:
    """Return ``count`` times a 3x3x3 convolution, norm and ReLU.

    Raises:
        ValueError: when there is no such norm.

    Example:
        >>> [type(layer).__name__ for layer in convolutions(1, 2, 1)]
        ['Conv3d', 'BatchNorm3d', 'ReLU']
    """
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [
            nn.Conv3d(out_channels if index else in_channels, out_channels, KERNEL_SIZE, padding=1, bias=False),
            _norm(norm, out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def scaling(
    convolution: type[nn.Conv3d] | type[nn.ConvTranspose3d], in_channels: int, out_channels: int, norm: str = "batch"
) -> nn.Sequential:
    """Return a convolution that halves, or a transposed one that doubles, every side; norm and ReLU.

    Example:
        >>> tuple(scaling(nn.ConvTranspose3d, 4, 2)(torch.zeros(1, 4, 3, 2, 1)).shape)
        (1, 2, 6, 4, 2)
    """
    return nn.Sequential(
        convolution(in_channels, out_channels, kernel_size=2, stride=2, bias=False),
        _norm(norm, out_channels),
        nn.ReLU(inplace=True),
    )


def pad_to_stride(x: torch.Tensor, in_channels: int, stride: int) -> torch.Tensor:
    """Pad an image with zeros at the end of each side that ``stride`` does not divide.

    Args:
        x: image, ``(B, in_channels, X, Y, Z)``, every side at least ``stride``.
        in_channels: channels that the network takes.
        stride: what every side has to be a multiple of.

    Raises:
        ValueError: when ``x`` has other channels or a side under ``stride``.

    Example:
        >>> tuple(pad_to_stride(torch.zeros(1, 1, 17, 16, 31), 1, 16).shape)
        (1, 1, 32, 16, 32)
    """
    if x.dim() != 5 or x.shape[1] != in_channels or min(x.shape[2:]) < stride:
        raise ValueError(
            f"expected an image of shape (B, {in_channels}, X, Y, Z) with every side at least {stride}, "
            f"got {list(x.shape)}."
        )
    excess = [-side % stride for side in x.shape[2:]]
    if max(excess) > 0:
        x = F.pad(x, [0, excess[2], 0, excess[1], 0, excess[0]])
    return x


def require_roi_size(roi_size: int | Sequence[int]) -> None:
    """Refuse a window that the networks cannot see, before anything is loaded.

    Args:
        roi_size: sides of the crop or window in voxels; one number stands for all three.

    Raises:
        InputError: when it is not three whole numbers of at least 16.

    Example:
        >>> require_roi_size([8, 8, 8])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        pkdr_monai.errors.InputError: expected a roi_size of three whole numbers of at least 16, ..., got [8, 8, 8].
    """
    sides = [roi_size] * 3 if isinstance(roi_size, int) else list(roi_size)
    if len(sides) != 3 or not all(isinstance(side, int) and side >= STRIDE for side in sides):
        raise InputError(
            f"expected a roi_size of three whole numbers of at least {STRIDE}, such as [64, 64, 48], got {roi_size}."
        )


def crop_to(feature: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Cut a feature of a padded image down to the sides of the image ``x``."""
    return feature[:, :, : x.shape[2], : x.shape[3], : x.shape[4]]


def _norm(name: str, channels: int) -> nn.Module:
    if name not in NORMS:
        raise ValueError(f"norm must be batch or instance, got {name!r}.")
    return nn.BatchNorm3d(channels) if name == "batch" else InstanceNorm(channels, affine=True)


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


class DecoderHintHead(nn.Module):
    """Map the student's last decoder feature to the teacher's, for :class:`~pkdr_monai.losses.DecoderHintLoss`.

    Args:
        in_channels: channels of the student's decoder feature, ``init_filters`` of the V-Net.
        out_channels: channels of the teacher's; ``in_channels`` by default.

    Example:
        >>> tuple(DecoderHintHead(16)(torch.zeros(1, 16, 8, 8, 6)).shape)
        (1, 16, 8, 8, 6)
    """

    inputs: ClassVar[tuple[str, ...]] = ("decoder_feature",)

    def __init__(self, in_channels: int, out_channels: int | None = None) -> None:
        super().__init__()
        self.output = nn.Conv3d(in_channels, out_channels or in_channels, kernel_size=1)

    def forward(self, decoder_feature: torch.Tensor) -> torch.Tensor:
        """Return ``(B, out_channels, X, Y, Z)`` from a feature ``(B, in_channels, X, Y, Z)``."""
        return self.output(decoder_feature)


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


def refuse_wrong_gradients(network: nn.Module, x: torch.Tensor, stride: int, kernel_size: int) -> None:
    """Refuse bfloat16 training on the CPU with a bottleneck thinner than the kernel (wrong in oneDNN, torch 2.13).

    Args:
        network: network that is about to run; in eval mode, or without gradients, everything is right.
        x: image, ``(B, M, X, Y, Z)``.
        stride: voxels of X that one voxel of the bottleneck stands for.
        kernel_size: side of the kernel of the bottleneck's convolutions.

    Raises:
        InputError: where the gradients of the convolutions' weights would be wrong.
    """
    low_precision = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    thin = -(-x.shape[2] // stride) < kernel_size
    if low_precision and thin and network.training and torch.is_grad_enabled() and x.device.type == "cpu":
        raise InputError(
            f"training in bfloat16 on the CPU computes wrong gradients for crops whose first side is under "
            f"{stride * (kernel_size - 1) + 1} (here {x.shape[2]}). Train in float32, or take a larger crop."
        )
