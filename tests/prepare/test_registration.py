"""A volume that was moved comes back, the same each time, and what is no motion of a head is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.registration import register, resample
from pkdr_monai.prepare.volume import Volume
from tests.prepare.conftest import oblique

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def motion(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> np.ndarray:
    """Return a rigid motion in RAS, (4, 4): turns about x, y and z through the origin, then a shift in mm."""
    matrix = np.eye(4)
    for axis, angle in enumerate(np.radians(degrees)):
        turn, (first, second) = np.eye(4), [one for one in range(3) if one != axis]
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    matrix[:3, 3] = shift
    return matrix


@pytest.fixture(scope="module")
def t1(patient: PhantomCase) -> Volume:
    pytest.importorskip("SimpleITK", reason="needs the extra prepare")
    return Volume(patient.images["t1"], LPS @ oblique())


@pytest.fixture(scope="module")
def moved(patient: PhantomCase) -> tuple[Volume, np.ndarray]:
    """The FLAIR after the head moved, on a coarser grid of its own, and the motion."""
    known = motion((4.0, -3.0, 5.0), (6.0, -4.0, 5.0))
    coarser = np.diag([2.0, 1.0, 1.0, 1.0])
    return Volume(patient.images["flair"][::2], known @ LPS @ oblique() @ coarser), known


def test_a_known_motion_is_found_within_half_a_millimetre(
    t1: Volume, moved: tuple[Volume, np.ndarray], tmp_path: Path
) -> None:
    flair, known = moved
    found = register(t1, flair)
    brain = np.argwhere(t1.voxels > 0)
    world = np.column_stack([brain, np.ones(len(brain))]) @ t1.affine.T
    error = np.linalg.norm((world @ (found.matrix - known).T)[:, :3], axis=1)
    assert error.mean() < 0.5
    again = register(t1, flair)
    assert np.array_equal(found.matrix, again.matrix)
    found.write(tmp_path / "a.tfm")
    assert (tmp_path / "a.tfm").read_text().startswith("#Insight Transform File V1.0")


def test_the_transform_and_the_matrix_say_the_same(t1: Volume, moved: tuple[Volume, np.ndarray]) -> None:
    found = register(t1, moved[0])
    point = np.array([10.0, -20.0, 30.0, 1.0])
    expected = LPS @ found.matrix @ LPS @ point
    np.testing.assert_allclose(found.transform.TransformPoint(point[:3].tolist()), expected[:3], atol=1e-9)


def test_a_registered_volume_lies_on_the_other_grid(
    t1: Volume, patient: PhantomCase, moved: tuple[Volume, np.ndarray]
) -> None:
    back = resample(moved[0], t1, register(t1, moved[0]))
    assert back.voxels.shape == t1.voxels.shape
    assert np.array_equal(back.affine, t1.affine)
    truth = patient.images["flair"].astype(float)
    brain = truth > 0
    assert np.corrcoef(back.voxels[brain], truth[brain])[0, 1] > 0.9


def test_a_motion_that_no_head_makes_is_refused(t1: Volume) -> None:
    far = Volume(t1.voxels, motion((0, 0, 0), (0, 0, 90.0)) @ t1.affine)
    with pytest.raises(InputError, match="a motion of 90 mm"):
        register(t1, far)


def test_without_the_extra_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    volume = Volume(np.ones((4, 4, 4)), np.eye(4))
    with pytest.raises(InputError, match=r"pip install 'pkdr-monai\[prepare\]'"):
        register(volume, volume)
