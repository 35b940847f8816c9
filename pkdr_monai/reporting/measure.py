"""Scores of one case that no evaluation has scored: Dice and HD95 of its regions, as an evaluation would."""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import compute_dice

from pkdr_monai.metrics import HD95Metric
from pkdr_monai.reporting.scans import Scan

__all__ = ["dice", "hd95"]


def dice(scan: Scan) -> tuple[float, ...]:
    """Return the Dice of TC, WT and ET, 1 where truth and prediction are both empty.

    Args:
        scan: a case with truth and prediction.

    Example:
        >>> from pkdr_monai.reporting.scans import Predicted
        >>> truth = np.zeros((3, 8, 8, 8), bool)
        >>> truth[:, 2:6, 2:6, 2:6] = True
        >>> scan = Scan("a", "t2", truth[0] * 1.0, np.eye(4), truth, Predicted(truth, np.eye(4)))
        >>> dice(scan), hd95(scan)
        ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    """
    prediction, truth = _regions(scan)
    return tuple(compute_dice(prediction.float(), truth.float(), ignore_empty=False)[0].tolist())


def hd95(scan: Scan) -> tuple[float, ...]:
    """Return the HD95 of TC, WT and ET in mm, as :class:`~pkdr_monai.metrics.HD95Metric` scores empty regions.

    Args:
        scan: a case with truth and prediction.
    """
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0).tolist()
    distances = torch.as_tensor(HD95Metric(spacing)(*_regions(scan)))  # (1, 3)
    return tuple(distances[0].tolist())


def _regions(scan: Scan) -> list[torch.Tensor]:
    """Return prediction and truth, ``(1, 3, X, Y, Z)`` each."""
    if scan.truth is None or scan.prediction is None:
        raise ValueError(f"case {scan.case} has no truth or no prediction: there is nothing to measure.")
    return [torch.from_numpy(np.ascontiguousarray(regions))[None] for regions in (scan.prediction.regions, scan.truth)]
