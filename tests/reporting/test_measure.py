from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pkdr_monai.reporting.computed import dice, hd95
from pkdr_monai.reporting.volumes import Predicted, ShownCase


def test_region_that_was_not_found_has_dice_0_and_the_diagonal_as_its_distance(scan: ShownCase) -> None:
    assert dice(scan) == (1.0, 1.0, 0.0)
    sizes = np.linalg.norm(scan.affine[:3, :3], axis=0) * scan.truth.shape[1:]  # type: ignore[union-attr]
    assert hd95(scan) == pytest.approx((0.0, 0.0, math.hypot(*sizes)))


def test_region_that_neither_has_counts_as_found(scan: ShownCase) -> None:
    empty = np.zeros_like(scan.truth)
    assert dice(dataclasses.replace(scan, truth=empty, prediction=Predicted(empty, scan.affine))) == (1.0, 1.0, 1.0)


def test_distance_is_in_millimetres() -> None:
    truth = np.zeros((3, 12, 12, 12), bool)
    truth[:, 3:6, 3:6, 3:6] = True
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    moved = Predicted(np.roll(truth, 1, axis=3), affine)
    assert hd95(ShownCase("a", "t2", truth[0] * 1.0, affine, truth, moved)) == (4.0, 4.0, 4.0)


def test_case_without_a_prediction_cannot_be_measured(scan: ShownCase) -> None:
    with pytest.raises(ValueError, match="nothing to measure"):
        dice(dataclasses.replace(scan, prediction=None))
