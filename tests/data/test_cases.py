from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.data.cases import Case, exclude_cases, nifti_files
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.errors import InputError


def test_brats_folder_and_decathlon_are_told_apart(
    write_case: Callable[..., Path], write_task01: Callable[..., Path]
) -> None:
    assert find_cases(write_case("HGG/a")).label_scheme == "brats2018"
    assert find_cases(write_task01("BRATS_001")).label_scheme == "msd"


def test_cases_are_sorted_by_name_across_folders(write_case: Callable[..., Path]) -> None:
    write_case("LGG/a")
    folder = write_case("HGG/b")
    assert [case.name for case in find_cases(str(folder)).cases] == ["a", "b"]


def test_absent_folder_is_refused_with_the_layouts_that_are_understood(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent is not a folder.*HGG/ and LGG/.*-t1n.*Task01_BrainTumour"):
        find_cases(tmp_path / "absent")


def test_folder_without_a_case_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it holds no NIfTI file"):
        find_cases(tmp_path)
    (tmp_path / "atlas.nii").touch()
    with pytest.raises(InputError, match=r"it holds atlas\.nii"):
        find_cases(tmp_path)


def test_files_of_a_case_include_its_label() -> None:
    assert Case("a", {"t1": "x"}, "y").files == {"t1": "x", "label": "y"}
    assert Case("a", {"t1": "x"}).files == {"t1": "x"}


def test_unknown_name_to_exclude_is_refused_with_the_nearest() -> None:
    cases = [Case("Brats18_1", {}), Case("Brats18_2", {})]
    assert exclude_cases(cases, ["Brats18_1"]) == [Case("Brats18_2", {})]
    with pytest.raises(InputError, match="did you mean 'Brats18_2'"):
        exclude_cases(cases, ["brats18_2"])


def test_excluding_every_case_is_refused() -> None:
    with pytest.raises(InputError, match="all 1 cases are excluded"):
        exclude_cases([Case("a", {})], ["a"])


def test_walk_stops_at_its_depth(tmp_path: Path) -> None:
    deep = tmp_path / "1" / "2"
    deep.mkdir(parents=True)
    (deep / "a_t1.nii").touch()
    assert list(nifti_files(tmp_path, depth=2)) == [Path("1/2/a_t1.nii")]
    assert list(nifti_files(tmp_path, depth=1)) == []


def test_link_in_a_circle_ends(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a_t1.nii").touch()
    assert list(nifti_files(tmp_path)) == [Path("a_t1.nii")]


def test_link_to_another_version_shows_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "v1" / "a").mkdir(parents=True)
    (tmp_path / "v1" / "a" / "a_t1.nii").touch()
    (tmp_path / "latest").symlink_to("v1", target_is_directory=True)
    assert [case.modalities for case in find_cases(tmp_path).cases] == [{"t1": "v1/a/a_t1.nii"}]


def test_links_to_cases_elsewhere_are_followed(tmp_path: Path) -> None:
    (tmp_path / "store" / "a").mkdir(parents=True)
    (tmp_path / "store" / "a" / "a_t1.nii").touch()
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "a").symlink_to(tmp_path / "store" / "a", target_is_directory=True)
    assert list(nifti_files(tmp_path / "cohort")) == [Path("a/a_t1.nii")]


def test_files_that_are_passed_over_are_named_with_the_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a_t1.nii", "a_adc.nii", "a_t1_bias.nii", "a_probabilities.nii.gz"):
        (tmp_path / name).touch()
    find_cases(tmp_path)
    assert "2 files are passed over: a_adc.nii (its name says no modality), a_t1_bias.nii ('bias' after" in caplog.text


def test_a_folder_without_cases_says_what_it_saw(tmp_path: Path) -> None:
    (tmp_path / "MPRAGE.nii").touch()
    with pytest.raises(InputError, match=r"it holds MPRAGE\.nii: 'MPRAGE' does not say whether with contrast"):
        find_cases(tmp_path)
    (tmp_path / "P1_0000.nii").touch()
    with pytest.raises(InputError, match=r"no dataset\.json that names them"):
        find_cases(tmp_path)


def test_a_deep_folder_is_no_empty_one(tmp_path: Path) -> None:
    anat = tmp_path / "derivatives" / "hdbet" / "sub-01" / "ses-1" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-01_ses-1_T1w.nii.gz").touch()
    assert [case.name for case in find_cases(tmp_path).cases] == ["sub-01_ses-1"]


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "/etc", "a\\b", "a\nb", "a\x1b[2J"])
def test_a_name_that_could_leave_the_folder_of_results_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="a case is named"):
        Case(name, {"t1": "x"})


def test_markup_in_a_name_is_a_name() -> None:
    assert Case("<script>", {}).name == "<script>"
