"""A brain is there already, comes by a mask, or is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.brain import apply_mask, finding_about, read_mask
from pkdr_monai.prepare.volume import Volume
from tests.prepare.conftest import SPACING

AFFINE = np.diag([*SPACING, 1.0])


def test_a_brain_alone_is_recognised_and_a_head_is_not(patient: PhantomCase, head: np.ndarray) -> None:
    assert finding_about(Volume(patient.images["t2"], AFFINE)) is None
    assert "does not look skull-stripped" in str(finding_about(Volume(head, AFFINE)))


def test_a_mask_leaves_the_brain_alone(patient: PhantomCase, head: np.ndarray) -> None:
    brain = patient.images["t2"] > 0
    masked = apply_mask(Volume(head, AFFINE), Volume(brain, AFFINE))
    assert np.array_equal(masked.voxels, head * brain)
    assert masked.voxels.dtype == head.dtype
    assert finding_about(masked) is None


def test_a_mask_on_another_grid_is_refused(head: np.ndarray) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 5
    with pytest.raises(InputError, match="lies on another grid"):
        apply_mask(Volume(head, AFFINE), Volume(head > 0, moved))
    with pytest.raises(InputError, match="lies on another grid"):
        apply_mask(Volume(head, AFFINE), Volume(head[1:] > 0, AFFINE))


def test_a_file_that_is_no_mask_is_refused(tmp_path: Path, save_nifti: Callable[..., None]) -> None:
    for name, voxels, sentence in (
        ("full", np.ones((8, 8, 8), np.uint8), "marks 100 % of its voxels"),
        ("empty", np.zeros((8, 8, 8), np.uint8), "marks 0 % of its voxels"),
        ("four", np.eye(8, dtype=np.uint8).reshape(2, 4, 2, 4), "expected one 3-D volume"),
    ):
        save_nifti(tmp_path / f"{name}.nii.gz", voxels)
        with pytest.raises(InputError, match=sentence):
            read_mask(tmp_path / f"{name}.nii.gz")
    (tmp_path / "text.nii.gz").write_text("text")
    with pytest.raises(InputError, match="the brain mask"):
        read_mask(tmp_path / "text.nii.gz")
