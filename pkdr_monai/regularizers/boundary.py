"""Table 2, "Boundary-Aware": a second stream finds the outline of each region, and helps to fill it."""

from __future__ import annotations

from collections.abc import Mapping
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
    plain,
    predicted_by_student,
)
from pkdr_monai.losses.segmentation import SMOOTH
from pkdr_monai.networks import PatchVNet
from pkdr_monai.networks.blocks import CONVOLUTIONS, KERNEL_SIZE, crop_to, refuse_wrong_gradients, scaling

__all__ = ["BoundaryLoss", "BoundaryVNet", "boundary_terms", "inner_border"]

NEEDS = ("logits", "boundary_logits")
"""The tensors of the student that the loss needs."""


@torch.no_grad()
def inner_border(label: Tensor) -> Tensor:
    """Return the outermost layer of voxels of each region: the region minus its erosion by a 3x3x3 cube.

    The erosion is a minimum over 27 voxels, computed where the label lies. What a crop cuts off counts as inside, so a
    region has no border where it meets the side of the crop.

    Args:
        label: 1 inside a region and 0 outside, any dtype, ``(B, C, X, Y, Z)``.

    Returns:
        1 on the border and 0 elsewhere, ``(B, C, X, Y, Z)``, float32 unless ``label`` has another floating dtype.

    Example:
        >>> label = torch.zeros(1, 1, 7, 7, 7)
        >>> label[..., 1:6, 1:6, 1:6] = 1
        >>> inner_border(label)[0, 0, 3, 3]  # a line through the middle of a cube
        tensor([0., 1., 0., 0., 0., 1., 0.])
    """
    label = plain(label)
    if not label.is_floating_point():
        label = label.to(torch.float32)
    return label + F.max_pool3d(-label, kernel_size=3, stride=1, padding=1)  # label - min over the cube


class BoundaryLoss(DistillationLoss):
    r"""Segment the tumour and find the outlines of its regions.

    .. math::
        L = L_{seg} + w \, \Big[ 1 - \frac{2 \sum_v p_v e_v + \epsilon}{\sum_v p_v^2 + \sum_v e_v^2 + \epsilon}
        - \frac{1}{N} \Big( b \sum_{v: e_v = 1} \log p_v + (1 - b) \sum_{v: e_v = 0} \log(1 - p_v) \Big) \Big]

    averaged over the outlines in the batch, one for each crop and region. :math:`e` is the outline, :math:`p` its
    predicted probability, :math:`b` the fraction of voxels off the outline, :math:`N` the number of voxels.

    After Myronenko and Hatamizadeh (2019, "Robust semantic segmentation of brain tumor regions" and the kidney paper
    arXiv 1909.06684), as others describe them. Sure: Dice on the segmentation, Dice and balanced cross-entropy on the
    outline, made from the label during training. Not given, and chosen here: equal weights; the division by :math:`N`;
    the 1-voxel inner border as the outline (EG-CNN's thresholded Sobel filter gives a band of two); :math:`L_{seg}` is
    the paper's Eq. 8, for all rows of Table 2. A crop without a region has no outline of it: such maps are left out,
    and where there is none at all the edge terms are exactly 0.

    Args:
        weight: weight :math:`w` of both terms on the outline.
        segmentation: loss for Eq. 8; ``None`` means :class:`~pkdr_monai.losses.SegmentationLoss` with its defaults.

    Attributes:
        parts: after a call, the terms ``segmentation``, ``boundary_dice`` and ``boundary_cross_entropy``.

    Raises:
        ValueError: when the weight is not a finite number above 0.

    Example:
        >>> label = torch.zeros(1, 3, 16, 16, 16)
        >>> label[..., 4:9, 4:9, 4:9] = 1
        >>> student = {"logits": 20 * label - 10, "boundary_logits": 20 * inner_border(label) - 10}
        >>> f"{BoundaryLoss()({'student': student}, label):.3f}"
        '0.000'
    """

    described: ClassVar[tuple[str, ...]] = ("weight",)

    def __init__(self, weight: float = 1.0, segmentation: _Loss | None = None) -> None:
        super().__init__()
        check_positive("BoundaryLoss", weight=weight)
        self.weight = weight
        self.segmentation = segmentation or SegmentationLoss()

    def forward(self, prediction: Mapping[str, Mapping[str, Tensor]], label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its parts in :attr:`parts`.

        Args:
            prediction: ``{"student": ...}`` with ``logits`` and ``boundary_logits``, both ``(B, C, X, Y, Z)``, as
                :class:`~pkdr_monai.regularizers.BoundaryVNet` makes them.
            label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing or shapes do not fit.
        """
        logits, boundary_logits = predicted_by_student("BoundaryLoss", prediction, NEEDS)
        remedy = "The label needs one channel for each region."
        check_same_shape("BoundaryLoss", remedy, boundary_logits=boundary_logits, label=label)
        dice, cross_entropy = boundary_terms(boundary_logits, inner_border(label))
        terms = {
            "segmentation": self.segmentation(logits, label),
            "boundary_dice": dice,
            "boundary_cross_entropy": cross_entropy,
        }
        self.keep(terms)
        return terms["segmentation"] + self.weight * (dice + cross_entropy)


def boundary_terms(logits: Tensor, border: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Dice loss and the balanced cross-entropy on the outlines, each a mean over the outlines that exist.

    Args:
        logits: ``(B, C, X, Y, Z)``.
        border: 1 on an outline and 0 elsewhere, ``(B, C, X, Y, Z)``.
    """
    logits = at_least_float32(logits)
    border = border.to(logits.dtype)
    each_map = [2, 3, 4]  # sum over the voxels
    present = (border.amax(each_map) > 0).to(logits.dtype)  # (B, C)
    count = present.sum().clamp(min=1)
    probability = torch.sigmoid(logits)
    overlap = (probability * border).sum(each_map)  # (B, C)
    size = probability.square().sum(each_map) + border.sum(each_map)  # (B, C)
    dice = 1 - (2 * overlap + SMOOTH) / (size + SMOOTH)  # (B, C)
    balance = 1 - border.mean(each_map, keepdim=True)  # (B, C, 1, 1, 1), the fraction off the outline
    weight = balance * border + (1 - balance) * (1 - border)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, border, weight, reduction="none").mean(each_map)
    return (dice * present).sum() / count, (cross_entropy * present).sum() / count


class BoundaryVNet(nn.Module):
    """A :class:`~pkdr_monai.networks.PatchVNet` with a second stream that finds the outline of each region.

    The stream climbs from the bottleneck to full resolution beside the decoder. At each level a gate, fed by the
    encoder, chooses where the stream looks; the next level is twice as fine. Its outlines and the decoder's logits are
    fused by a 1x1x1 convolution into the segmentation. So this is a network, not a head: the stream is needed at the
    hospital too, and it has 16 % more parameters than the other methods of the table.

    After Myronenko and Hatamizadeh (2019), as others describe it. Sure: separate stream, gates
    ``sigmoid(conv1(ReLU(conv3([encoder, boundary]))))`` at each resolution, sigmoid outlines, fusion by a 1x1x1
    convolution. Chosen here: one gate map for all channels; the hidden width of a gate is that of its level; the stream
    starts with the bottleneck doubled in size; the decoder's logits (its output convolution is linear like the fusing
    one, so this is the same family of functions as its 16-channel feature) and the outlines' probabilities are fused.

    Args:
        in_channels: number of modalities, any positive number.
        out_channels: number of segmented regions, each with its outline.
        init_filters: channels at full resolution; the bottleneck has 16 times as many.

    Raises:
        ValueError: when a channel count is not positive.

    Example:
        >>> network = BoundaryVNet(in_channels=4, init_filters=2)
        >>> features = network.eval().features(torch.zeros(1, 4, 40, 32, 16))
        >>> tuple(features["logits"].shape), tuple(features["boundary_logits"].shape)
        ((1, 3, 40, 32, 16), (1, 3, 40, 32, 16))
    """

    def __init__(self, in_channels: int, out_channels: int = 3, init_filters: int = 16) -> None:
        super().__init__()
        self.backbone = PatchVNet(in_channels, out_channels, init_filters)
        self.climb = nn.ModuleList()
        self.gates = nn.ModuleList()
        for level in reversed(range(len(CONVOLUTIONS) - 1)):
            width = init_filters * 2**level
            self.climb.append(scaling(nn.ConvTranspose3d, 2 * width, width))
            self.gates.append(_Gate(width))
        self.boundary_output = nn.Conv3d(init_filters, out_channels, kernel_size=1)
        self.fuse = nn.Conv3d(2 * out_channels, out_channels, kernel_size=1)
        self.stride = self.backbone.stride
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.init_filters = init_filters
        self.embedding_channels = self.backbone.embedding_channels
        self.feature_channels = self.backbone.feature_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return segmentation logits, ``(B, out_channels, X, Y, Z)``, from an image, ``(B, in_channels, X, Y, Z)``.

        Raises:
            ValueError: when ``x`` has other channels or a side under 16.
        """
        levels = self.backbone.encode(x)
        return crop_to(self._segment(self.backbone.decode(levels), self._outline(levels)), x)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what :meth:`PatchVNet.features` does, and ``boundary_logits``, ``(B, out_channels, X, Y, Z)``.

        Raises:
            InputError: where bfloat16 training on the CPU would compute wrong gradients silently.
        """
        refuse_wrong_gradients(self, x, self.stride, KERNEL_SIZE)
        levels = self.backbone.encode(x)
        decoder_feature = self.backbone.decode(levels)
        boundary_logits = self._outline(levels)
        return {
            "logits": crop_to(self._segment(decoder_feature, boundary_logits), x),
            "embedding": levels[-1],
            "decoder_feature": crop_to(decoder_feature, x),
            "boundary_logits": crop_to(boundary_logits, x),
        }

    def _outline(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Return boundary logits at full (padded) resolution from the encoder's levels."""
        x = levels[-1]
        level = len(levels) - 2
        for climb, gate in zip(self.climb, self.gates):  # noqa: B905 (TorchScript knows no strict=)
            x = gate(levels[level], climb(x))
            level -= 1
        return self.boundary_output(x)

    def _segment(self, decoder_feature: torch.Tensor, boundary_logits: torch.Tensor) -> torch.Tensor:
        return self.fuse(torch.cat([self.backbone.output(decoder_feature), torch.sigmoid(boundary_logits)], dim=1))


class _Gate(nn.Module):
    """Let the encoder say where the outlines may be."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv3d(2 * channels, channels, KERNEL_SIZE, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, 1, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, encoder: torch.Tensor, boundary: torch.Tensor) -> torch.Tensor:
        return self.attention(torch.cat([encoder, boundary], dim=1)) * boundary
