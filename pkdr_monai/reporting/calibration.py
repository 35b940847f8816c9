"""Do probabilities mean what they say? Of the voxels given 0.8, about 80 % should be tumour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.calibration import calibration_binning

from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.scans import Scan

__all__ = ["BINS", "Calibration", "Reliability"]

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """One region's reliability, in bins of equal width; NaN where a bin is empty.

    Args:
        probability: mean predicted probability of each bin.
        frequency: part of each bin's voxels that are of the region.
        voxels: number of voxels in each bin.
        error: expected calibration error, ECE: |probability - frequency|, a mean weighted by ``voxels``.
    """

    probability: tuple[float, ...]
    frequency: tuple[float, ...]
    voxels: tuple[int, ...]
    error: float


class Calibration:
    """Pool the voxels of several cases, region by region.

    Voxels of the brain count, and any that the truth labels outside of it; the empty background does not, since it
    would make every network look well calibrated.

    Example:
        >>> from pkdr_monai.reporting.scans import Predicted
        >>> half = np.full((3, 2, 1, 1), 0.5, np.float32)
        >>> truth = np.array([True, False] * 3).reshape(3, 2, 1, 1)
        >>> calibration = Calibration()
        >>> calibration.add(Scan("a", "t2", np.ones((2, 1, 1)), np.eye(4), truth, Predicted(truth, np.eye(4), half)))
        >>> calibration.regions()["wt"].error
        0.0
    """

    def __init__(self) -> None:
        self.cases: list[str] = []
        self._sums = np.zeros((3, len(REGIONS), BINS))  # of probability, of truth, of voxels

    def add(self, scan: Scan) -> None:
        """Add a case; one without truth or probabilities is passed over."""
        if scan.truth is None or scan.prediction is None or scan.prediction.probabilities is None:
            return
        counted = (scan.image != 0) | scan.truth.any(axis=0)
        probabilities, truth = (
            torch.from_numpy(np.ascontiguousarray(volume[:, counted], np.float32))[None]
            for volume in (scan.prediction.probabilities, scan.truth)
        )  # (1, 3, N)
        probability, frequency, voxels = (
            part[0].double().numpy() for part in calibration_binning(probabilities, truth, num_bins=BINS)
        )
        self._sums += np.nan_to_num(np.stack([probability * voxels, frequency * voxels, voxels]))
        self.cases.append(scan.case)

    def regions(self) -> dict[str, Reliability]:
        """Return the reliability of each region; nothing when no case was added."""
        return {region: _reliability(*self._sums[:, channel]) for channel, region in enumerate(REGIONS) if self.cases}


def _reliability(probability: np.ndarray, truth: np.ndarray, voxels: np.ndarray) -> Reliability:
    with np.errstate(invalid="ignore"):
        mean, frequency = probability / voxels, truth / voxels
    error = float(np.abs(probability - truth).sum() / max(voxels.sum(), 1))
    return Reliability(
        tuple(map(float, mean)), tuple(map(float, frequency)), tuple(int(count) for count in voxels), error
    )
