"""Table 2, "Boundary-Aware": a second stream finds the outline of each region, and helps to fill it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.losses.contract import predicted_by_student
from pkdr_monai.losses.inputs import at_least_float32, check_positive, check_same_shape, plain
from pkdr_monai.losses.segmentation import SMOOTH

__all__ = ["BoundaryLoss", "boundary_terms", "inner_border"]

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


class BoundaryLoss(_Loss):
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

    def __init__(self, weight: float = 1.0, segmentation: _Loss | None = None) -> None:
        super().__init__()
        check_positive("BoundaryLoss", weight=weight)
        self.weight = weight
        self.segmentation = segmentation or SegmentationLoss()
        self.parts: dict[str, Tensor] = {}

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        return f"weight={self.weight}"

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
        self.parts = {name: value.detach() for name, value in terms.items()}
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
