"""Every problem of a data set is found, and no check stops at the first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.data.cases import Case
from pkdr_monai.data.checks import check_cases, differing_grids, read_headers
from pkdr_monai.data.headers import Header
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.data.problems import Problem
from pkdr_monai.errors import InputError
from tests.conftest import volumes

CASE = Case("a", {"t1": "a_t1.nii", "t2": "a_t2.nii"}, "a_seg.nii")
REFERENCE = Header((10, 10, 10), np.eye(4))


def check(folder: Path, **options: object) -> list[Problem]:
    cohort = find_cases(folder)
    return check_cases(cohort.cases, folder, cohort.label_scheme, **options)  # type: ignore[arg-type]


def test_sound_cases_have_no_problem(write_case: Callable[..., Path], write_task01: Callable[..., Path]) -> None:
    assert check(write_case("HGG/a")) == []
    assert check(write_task01("BRATS_001")) == []


def test_missing_modality_and_label_are_reported_with_what_was_found(write_case: Callable[..., Path]) -> None:
    folder = write_case("HGG/a", {"t1": "a_t1.nii", "t2": "a_t2.nii"})
    problems = check(folder)
    assert [problem.what for problem in problems] == ["no t1ce file", "no flair file", "no label file"]
    assert {problem.where for problem in problems} == {"HGG/a"}
    assert "found: t1, t2" in problems[0].fix


def test_modality_that_nobody_asked_for_may_be_missing(write_case: Callable[..., Path]) -> None:
    folder = write_case("a", {"t2": "a_t2.nii"})
    assert check(folder, modalities=["t2"], need_label=False) == []


def test_two_files_of_one_modality_are_one_error_that_names_both(write_case: Callable[..., Path]) -> None:
    folder = write_case("a")
    write_case("a", {"t1": "a_t1.nii"})
    (problem,) = check(folder)
    assert {problem.where, problem.what} == {"a/a_t1.nii.gz", "a second t1 file, beside a/a_t1.nii"}


@pytest.mark.parametrize("lost", [4, 20, 200])  # the checksum, voxels, part of the header
def test_truncated_gzip_is_one_problem_not_a_traceback(write_case: Callable[..., Path], lost: int) -> None:
    folder = write_case("a")
    path = folder / "a" / "a_flair.nii.gz"
    path.write_bytes(path.read_bytes()[:-lost])
    (problem,) = check(folder)
    assert (problem.where, problem.severity) == ("a/a_flair.nii.gz", "error")
    assert "truncated" in problem.what


def test_all_problems_of_all_cases_are_collected(
    write_case: Callable[..., Path], save_nifti: Callable[..., None]
) -> None:
    write_case("a")
    write_case("b")
    folder = write_case("c")
    (folder / "a" / "a_t1.nii.gz").write_bytes(b"not a scan")
    save_nifti(folder / "a" / "a_seg.nii.gz", np.zeros((8, 9, 7), np.uint8))
    save_nifti(folder / "b" / "b_t2.nii.gz", volumes()["t2"][:, :, :-1])
    save_nifti(folder / "b" / "b_flair.nii.gz", np.full((8, 9, 7), np.nan, np.float32))
    assert [(problem.case, problem.where.split("_")[-1]) for problem in check(folder)] == [
        ("a", "t1.nii.gz"),
        ("a", "seg.nii.gz"),
        ("b", "t2.nii.gz"),
        ("b", "flair.nii.gz"),
    ]


def test_files_on_different_grids_are_still_checked_one_by_one(
    write_case: Callable[..., Path], save_nifti: Callable[..., None]
) -> None:
    folder = write_case("a")
    save_nifti(folder / "a" / "a_t2.nii.gz", np.zeros((4, 4, 4), np.int16))
    assert [problem.what for problem in check(folder)] == ["t2 has 4x4x4 voxels, t1 has 8x9x7", "t2 is 0 everywhere"]


def test_headers_alone_are_checked_on_demand(write_case: Callable[..., Path], save_nifti: Callable[..., None]) -> None:
    folder = write_case("a")
    save_nifti(folder / "a" / "a_t2.nii.gz", np.full((8, 9, 7), np.nan, np.float32))
    assert check(folder, voxels=False) == []
    assert len(check(folder)) == 1


def test_label_of_the_wrong_scheme_is_an_error(write_case: Callable[..., Path]) -> None:
    (problem,) = check(write_case("a", et=3))
    assert problem.what == "the label holds 3; expected 0, 1, 2, 4"


def test_channels_of_a_4d_file_are_checked_one_by_one(
    write_task01: Callable[..., Path], save_nifti: Callable[..., None]
) -> None:
    task = write_task01("BRATS_001")
    image = np.random.default_rng(0).integers(1, 9, (8, 9, 7, 4)).astype(np.int16)
    image[..., 3] = 0
    save_nifti(task / "imagesTr" / "BRATS_001.nii.gz", image)
    assert "t2 is 0 everywhere" in [problem.what for problem in check(task)]


def test_each_file_is_read_once(write_task01: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from pkdr_monai.data import checks

    task = write_task01("BRATS_001")
    read: list[str] = []
    original = checks.read_voxels
    monkeypatch.setattr(checks, "read_voxels", lambda path: read.append(path.parent.name) or original(path))
    check(task)
    assert read == ["imagesTr", "labelsTr"]


def test_progress_counts_every_case(write_case: Callable[..., Path]) -> None:
    write_case("a")
    counts: list[tuple[int, int]] = []
    check(write_case("b"), voxels=False, progress=lambda done, total: counts.append((done, total)))
    assert counts == [(1, 2), (2, 2)]


def test_unknown_label_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="unknown label_scheme 'brats1999'"):
        check_cases([], ".", "brats1999")


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
