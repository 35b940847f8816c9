from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.data.cases import Case
from pkdr_monai.data.checks import differing_grids, read_headers
from pkdr_monai.data.headers import Header

CASE = Case("a", {"t1": "a_t1.nii", "t2": "a_t2.nii"}, "a_seg.nii")
REFERENCE = Header((10, 10, 10), np.eye(4))


def moved(millimetres: float) -> Header:
    affine = np.eye(4)
    affine[0, 3] = millimetres
    return Header((10, 10, 10), affine)


def test_equal_grids_are_no_problem() -> None:
    assert not list(differing_grids(CASE, {"t1": REFERENCE, "t2": REFERENCE, "label": REFERENCE}))
    assert not list(differing_grids(CASE, {}))


def test_other_shape_is_reported_with_both_shapes() -> None:
    (problem,) = differing_grids(CASE, {"t1": REFERENCE, "t2": Header((10, 10, 9), np.eye(4))})
    assert (problem.where, problem.severity) == ("a_t2.nii", "error")
    assert problem.what == "t2 has 10x10x9 voxels, t1 has 10x10x10"


def test_other_affine_is_reported_with_its_distance() -> None:
    (problem,) = differing_grids(CASE, {"t1": REFERENCE, "label": moved(3)})
    assert (problem.where, problem.severity) == ("a_seg.nii", "error")
    assert "its voxels lie up to 3 mm off" in problem.what


def test_flipped_axis_is_an_other_affine() -> None:
    flipped = Header((10, 10, 10), np.diag([-1.0, 1, 1, 1]))
    assert len(list(differing_grids(CASE, {"t1": REFERENCE, "t2": flipped}))) == 1


@pytest.mark.parametrize("content", ["t2", "label"])
@pytest.mark.parametrize(("millimetres", "problems"), [(0.05, 0), (0.2, 1)])
def test_any_file_may_lie_off_by_a_tenth_of_a_voxel(content: str, millimetres: float, problems: int) -> None:
    assert len(list(differing_grids(CASE, {"t1": REFERENCE, content: moved(millimetres)}))) == problems


@pytest.mark.parametrize("shape", [(4, 5, 6, 1), (4, 5, 6, 1, 1)])
def test_trailing_axes_of_1_are_left_out(tmp_path: Path, save_nifti: Callable[..., None], shape: tuple) -> None:
    save_nifti(tmp_path / "a_t1.nii", np.ones(shape, np.int16))
    headers, problems = read_headers(CASE, tmp_path, {"t1": "a_t1.nii"})
    assert not problems
    assert headers["t1"].shape == (4, 5, 6)


def test_unreadable_file_is_a_problem_and_the_others_are_read(tmp_path: Path, save_nifti: Callable[..., None]) -> None:
    save_nifti(tmp_path / "a_t1.nii", np.ones((4, 4, 4), np.int16))
    (tmp_path / "a_t2.nii").touch()
    headers, problems = read_headers(CASE, tmp_path, CASE.modalities)
    assert list(headers) == ["t1"]
    assert [(problem.where, problem.what) for problem in problems] == [("a_t2.nii", "the file is empty")]


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [
        ((4, 4, 4, 4), None, r"4x4x4x4, expected (X, Y, Z): it holds 4 volumes, numbers 0 to 3"),
        ((4, 4), None, r"4x4, expected (X, Y, Z)"),
        ((4, 4, 4), {"t1": 1, "t2": 3}, r"4x4x4, expected (X, Y, Z, 4)"),
        ((4, 4, 4, 2), {"t1": 1, "t2": 3}, r"4x4x4x2, expected (X, Y, Z, 4)"),
    ],
)
def test_volume_of_other_dimensions_is_a_problem(
    tmp_path: Path,
    save_nifti: Callable[..., None],
    shape: tuple[int, ...],
    channels: dict[str, int] | None,
    expected: str,
) -> None:
    save_nifti(tmp_path / "a.nii", np.ones(shape, np.int16))
    case = Case("a", {"t1": "a.nii", "t2": "a.nii"}, channels=channels)
    headers, problems = read_headers(case, tmp_path, case.modalities)
    assert not headers
    assert [problem.what for problem in problems] == [f"its shape is {expected}"]


@pytest.mark.parametrize("channels", [2, 3, 4, 5])
def test_one_hot_label_is_named(tmp_path: Path, save_nifti: Callable[..., None], channels: int) -> None:
    save_nifti(tmp_path / "a_seg.nii.gz", np.zeros((4, 4, 4, channels), np.uint8))
    headers, (problem,) = read_headers(Case("a", {}, "a_seg.nii.gz"), tmp_path, {"label": "a_seg.nii.gz"})
    assert not headers
    assert f"{channels} channels, as of a one-hot label" in problem.what
