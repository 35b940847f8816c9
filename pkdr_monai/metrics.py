"""Dice and the Hausdorff distance as BraTS scores them: a number for every case, also where a region is empty."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from monai.data import MetaTensor
from monai.metrics import CumulativeIterationMetric, compute_dice, compute_hausdorff_distance
from monai.metrics.utils import do_metric_reduction

__all__ = ["HD95Metric", "region_dice", "region_hd95"]


def region_dice(found: torch.Tensor, truth: torch.Tensor) -> list[float]:
    """Return the Dice of each region of one case, 1 where both are empty.

    Args:
        found: binary regions, ``(R, X, Y, Z)``.
        truth: the same of the truth.

    Example:
        >>> regions = torch.zeros(2, 4, 4, 4).bool()
        >>> regions[0, 1:3] = True
        >>> region_dice(regions, regions), region_hd95(regions, regions, spacing=[1, 1, 1])
        ([1.0, 1.0], [0.0, 0.0])
    """
    return [float(value) for value in compute_dice(found[None].float(), truth[None].float(), ignore_empty=False)[0]]


def region_hd95(found: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float]) -> list[float]:
    """Return the HD95 of each region of one case in mm, as :class:`HD95Metric` defines it.

    Args:
        found: binary regions, ``(R, X, Y, Z)``.
        truth: the same of the truth.
        spacing: size of a voxel in mm.
    """
    return [float(value) for value in torch.as_tensor(HD95Metric(spacing)(found[None], truth[None]))[0]]


class HD95Metric(CumulativeIterationMetric):
    """Measure how far, in mm, the outlines of a segmentation and of the truth lie apart, the farthest 5 % left out.

    The 95th percentile of the distances from each outline to the other, the larger of both. Where MONAI's
    :class:`monai.metrics.HausdorffDistanceMetric` gives NaN, this one scores as BraTS does: nothing found where nothing
    is counts as 0 mm, and a region that is empty on one side alone as the diagonal of the volume. With ``DiceMetric(
    ignore_empty=False)``, whose values are 1 and 0 there, no case drops out of a mean.

    Args:
        spacing: size of a voxel in mm; ``None`` reads it from the truth, which then has to be a MetaTensor.

    Example:
        >>> truth, found = torch.zeros(2, 1, 3, 8, 8, 8).bool()
        >>> truth[:, 0, 2:5, 2:5, 2:5], found[:, 0, 2:5, 2:5, 3:6] = True, True
        >>> truth[:, 1, 4, 4, 4] = True
        >>> [[round(value, 3) for value in row] for row in HD95Metric(spacing=[2, 2, 2])(found, truth).tolist()]
        [[2.0, 27.713, 0.0]]
    """

    def __init__(self, spacing: Sequence[float] | None = None) -> None:
        super().__init__()
        self.spacing = None if spacing is None else [float(size) for size in spacing]

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return the distances of a batch of binary regions, ``(B, C, X, Y, Z)`` both, as ``(B, C)`` in mm."""
        spacing = self._spacing_of(y)
        sizes = [voxels * size for voxels, size in zip(y.shape[2:], spacing, strict=True)]
        found, truth = (torch.as_tensor(regions.detach()).bool() for regions in (y_pred, y))
        return torch.tensor(
            [
                [_distance(one, other, spacing, math.hypot(*sizes)) for one, other in zip(*case, strict=True)]
                for case in zip(found, truth, strict=True)
            ],
            device=y.device,
        )

    def aggregate(self) -> torch.Tensor:
        """Return the mean over cases and regions."""
        return do_metric_reduction(self.get_buffer(), "mean")[0]

    def _spacing_of(self, y: torch.Tensor) -> list[float]:
        if self.spacing is not None:
            return self.spacing
        if not isinstance(y, MetaTensor):
            raise ValueError(
                "HD95Metric does not know the size of a voxel: give it a MetaTensor, or its spacing in mm."
            )
        return [float(size) for size in (y.pixdim[0] if y.is_batch else y.pixdim)]


def _distance(found: torch.Tensor, truth: torch.Tensor, spacing: list[float], diagonal: float) -> float:
    """Return the distance of one region, ``(X, Y, Z)`` both."""
    empty = int(not found.any()) + int(not truth.any())
    if empty:
        return 0.0 if empty == 2 else diagonal
    one, other = (regions.as_subclass(torch.Tensor)[None, None] for regions in (found, truth))
    with warnings.catch_warnings():  # MONAI 1.6 warns of an argument that MONAI itself passes on
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        return float(compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=spacing))
