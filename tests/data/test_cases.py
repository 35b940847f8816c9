from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.data.cases import Case, exclude_cases, find_cases, nifti_files
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
    assert len(list(nifti_files(tmp_path))) == 5


@pytest.mark.parametrize("name", ["", ".", "..", "../../x", "/etc", "a\\b", "a\nb", "a\x1b[2J"])
def test_a_name_that_could_leave_the_folder_of_results_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="a case is named"):
        Case(name, {"t1": "x"})


def test_markup_in_a_name_is_a_name() -> None:
    assert Case("<script>", {}).name == "<script>"
