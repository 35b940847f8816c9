from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pkdr_monai.reporting.computed import BINS, Calibration
from pkdr_monai.reporting.volumes import Predicted, ShownCase
from tests.conftest import AFFINE


def _plain(probabilities: np.ndarray, truth: np.ndarray) -> tuple[list[float], float]:
    """Return the frequency of each bin and the ECE, in plain loops."""
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for probability, is_region in zip(probabilities.tolist(), truth.tolist(), strict=True):
        bins[min(BINS - 1, int(probability * BINS))].append((probability, is_region))
    frequency, error = [], 0.0
    for voxels in bins:
        frequency.append(sum(region for _, region in voxels) / len(voxels) if voxels else math.nan)
        error += abs(sum(probability - region for probability, region in voxels))
    return frequency, error / len(probabilities)


def _scan(name: str, probabilities: np.ndarray, truth: np.ndarray) -> ShownCase:
    image = np.ones(truth.shape[1:])
    return ShownCase(name, "t2", image, AFFINE, truth, Predicted(truth, AFFINE, probabilities))


@pytest.mark.parametrize("seed", [0, 1])
def test_pooled_cases_give_what_plain_loops_give(seed: int) -> None:
    random = np.random.default_rng(seed)
    scans = []
    for name in ("a", "b"):
        probabilities = random.random((3, 6, 5, 4), np.float32) ** 2
        scans.append(_scan(name, probabilities, random.random((3, 6, 5, 4)) < probabilities))
    calibration = Calibration()
    for scan in scans:
        calibration.add(scan)
    assert calibration.cases == ["a", "b"]
    for channel, curve in enumerate(calibration.regions().values()):
        pooled = [
            np.concatenate([volume[channel].ravel() for volume in volumes])
            for volumes in ([scan.prediction.probabilities for scan in scans], [scan.truth for scan in scans])
        ]
        frequency, error = _plain(*pooled)
        np.testing.assert_allclose(curve.frequency, frequency, atol=1e-6)
        assert curve.error == pytest.approx(error, abs=1e-5)
        assert sum(curve.voxels) == 2 * 6 * 5 * 4


def test_empty_background_does_not_flatter_a_network(scan: ShownCase) -> None:
    calibration = Calibration()
    calibration.add(scan)
    inside = int(((scan.image != 0) | scan.truth.any(axis=0)).sum())
    assert sum(calibration.regions()["wt"].voxels) == inside < scan.image.size


def test_case_without_probabilities_or_truth_is_passed_over(scan: ShownCase) -> None:
    calibration = Calibration()
    calibration.add(dataclasses.replace(scan, truth=None))
    calibration.add(dataclasses.replace(scan, prediction=Predicted(scan.truth, AFFINE)))
    assert calibration.cases == []
    assert calibration.regions() == {}
