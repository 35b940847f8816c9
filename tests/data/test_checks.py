from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.data.checks import check_cases
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.data.problems import Problem
from pkdr_monai.errors import InputError
from tests.conftest import volumes


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
