"""A brain passes, whatever its size and contrast; a head, a CT and a normalised image do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.data import find_cases
from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.inference.scan_checks import check_scan, foreign_intensities, head_around_brain
from pkdr_monai.inference.scans import Scan, find_scans
from pkdr_monai.modalities import MODALITIES


def ball(side: int, radius: float, value: float = 100.0) -> np.ndarray:
    axis = np.arange(side) - (side - 1) / 2
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    return np.where(square < radius**2, value, 0.0)


def test_a_synthetic_case_passes(scan: Scan) -> None:
    assert check_scan(scan, MODALITIES) == []


def test_a_brain_cut_to_its_own_box_passes() -> None:
    brain = ball(68, 34)  # 1317 mL at 2 mm
    assert list(head_around_brain(brain, 8.0)) == []


def test_a_head_on_a_background_of_0_is_too_large_for_a_brain() -> None:
    (what,) = head_around_brain(ball(110, 46), 8.0)
    assert "fills 3,2" in what
    assert "at most 2,300" in what


def test_noise_around_the_head_is_no_background() -> None:
    noise = np.random.default_rng(0).rayleigh(5, (32, 32, 32)).astype(np.int16)
    assert "% of its voxels are 0" in next(head_around_brain(noise, 8.0))


@pytest.mark.parametrize("background", [-1024, -3024])
def test_a_ct_is_known_by_its_air(background: int) -> None:
    image = np.where(ball(32, 12) > 0, 40, background)
    assert "looks like a CT" in next(foreign_intensities(image))


def test_a_normalised_image_is_told_from_a_ct() -> None:
    values = np.random.default_rng(0).normal(size=(32, 32, 32))
    assert "normalisation" in next(foreign_intensities(np.where(ball(32, 12) > 0, values, 0)))


def test_a_few_negative_voxels_at_an_edge_pass() -> None:
    image = ball(32, 12)
    image[image > 0] = np.where(np.random.default_rng(0).random(np.count_nonzero(image)) < 0.05, -3, 100)
    assert list(foreign_intensities(image)) == []


@pytest.mark.real
def test_every_real_brain_passes(real_data: Path) -> None:
    cohort = find_cases(real_data / "brats2018")
    assert len(cohort.cases) == 24
    for case in cohort.cases:
        path = cohort.folder / case.modalities["flair"]
        image = read_voxels(path)
        found = [*foreign_intensities(image), *head_around_brain(image, read_header(path).voxel_volume)]
        assert found == [], case.name
    (decathlon,) = find_scans([real_data / "msd" / "Task01_BrainTumour"])
    assert check_scan(decathlon, ["t2", "flair"]) == []
