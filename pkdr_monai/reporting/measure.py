"""Scores of one case that no evaluation has scored: Dice and HD95 of its regions, by MONAI."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance

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
    """Return the HD95 of TC, WT and ET in mm; NaN or infinite where truth or prediction is empty.

    Args:
        scan: a case with truth and prediction.
    """
    prediction, truth = _regions(scan)
    spacing = [float(size) for size in np.linalg.norm(scan.affine[:3, :3], axis=0)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*all 0, this may result in nan/inf distance")
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)  # MONAI's own
        distance = compute_hausdorff_distance(
            prediction, truth, include_background=True, percentile=95, spacing=[spacing]
        )
    return tuple(distance[0].tolist())


def _regions(scan: Scan) -> list[torch.Tensor]:
    """Return prediction and truth, ``(1, 3, X, Y, Z)`` each."""
    if scan.truth is None or scan.prediction is None:
        raise ValueError(f"case {scan.case} has no truth or no prediction: there is nothing to measure.")
    return [torch.from_numpy(np.ascontiguousarray(regions))[None] for regions in (scan.prediction.regions, scan.truth)]
