"""A study is drawn, divided and recorded, and is not mixed with another."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json
from pkdr_monai.studies import Study, choose_study
from tests.studies.conftest import ROOT, SMOKE, make_study

FOLDERS: dict[str, Any] = {"results": "results", "work": "work"}
PRESETS = ROOT / "experiments" / "studies"


def test_synthetic_cohort_is_drawn_divided_and_recorded(tmp_path: Path) -> None:
    cohort = {**SMOKE["cohort"], "cases": 4, "shape": [32, 32, 32]}
    study = Study("tiny", cohort, tmp_path / "results", tmp_path / "work", SMOKE["budget"])
    study.prepare()
    assert {key: len(study.data_list[key]) for key in ("training", "validation", "test")} == {
        "training": 2,
        "validation": 1,
        "test": 1,
    }
    record = read_json(study.results / "study.json")
    assert record == study.record()
    assert (record["scored"], record["cases"]["test"]) == ("test", 1)
    study.prepare()  # again is no conflict, and draws nothing


def test_folder_of_a_data_set_is_divided_and_its_path_kept_out_of_the_record(
    write_case: Callable[..., Path], tmp_path: Path
) -> None:
    for name in "abcd":
        folder = write_case(name)
    study = Study("x", {"kind": "folder", "folder": str(folder), "split": None}, tmp_path / "r", tmp_path / "w")
    study.prepare()
    assert study.dataset_dir == folder
    assert str(folder) not in (study.results / "study.json").read_text()


def test_without_test_cases_the_validation_cases_are_scored(write_case: Callable[..., Path], tmp_path: Path) -> None:
    for name in "abc":
        folder = write_case(name)
    split = tmp_path / "split.json"
    split.write_text('{"train": ["a", "b"], "val": ["c"]}')
    study = Study("x", {"kind": "folder", "folder": str(folder), "split": split}, tmp_path / "r", tmp_path / "w")
    study.prepare()
    assert study.scored == "validation"


def test_split_hash_knows_the_division_and_not_the_files(tmp_path: Path) -> None:
    one, other = make_study(tmp_path / "one"), make_study(tmp_path / "other")
    assert one.split_hash == other.split_hash
    other.data_list["test"].reverse()
    assert one.split_hash != other.split_hash


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"budget": {**SMOKE["budget"], "max_epochs": 9}}, "max_epochs is 2 there and 9 here"),
        ({"cohort": {**SMOKE["cohort"], "seed": 5}}, "seed is 1 there and 5 here"),
    ],
)
def test_results_of_another_study_are_not_mixed_with(study: Study, change: dict[str, object], complaint: str) -> None:
    study.prepare()
    with pytest.raises(InputError, match=f"{complaint}. Give this one another --name."):
        replace(study, **change).prepare()


def test_smoke_is_the_tiniest_cohort_and_budget_under_a_name_of_its_own() -> None:
    study = choose_study(PRESETS, "phantom", smoke=True, **FOLDERS)
    assert (study.name, study.cohort, study.budget) == ("phantom-smoke", SMOKE["cohort"], SMOKE["budget"])
    assert (study.results, study.work) == (Path("results/phantom-smoke"), Path("work/phantom-smoke"))


def test_data_sets_folder_is_trained_on_as_train_json_says(tmp_path: Path) -> None:
    study = choose_study(PRESETS, str(tmp_path), **FOLDERS)
    assert (study.name, study.budget) == (tmp_path.name, {})


def test_own_settings_go_before_the_presets() -> None:
    budget = choose_study(PRESETS, "phantom", budget={"max_epochs": 3}, **FOLDERS).budget
    assert (budget["max_epochs"], budget["batch_size"]) == (3, 2)


@pytest.mark.parametrize(
    ("cohort", "options", "complaint"),
    [
        ("nowhere", {}, "no cohort 'nowhere': expected phantom, or the folder"),
        ("phantom", {"split": "split.json"}, "synthetic cases have their own split"),
        ("phantom", {"name": "a/b"}, "cannot be 'a/b'"),
    ],
)
def test_slips_are_refused(cohort: str, options: dict[str, str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        choose_study(PRESETS, cohort, **FOLDERS, **options)  # type: ignore[arg-type]


def _contents(*folders: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*.json")}


def test_refused_study_changes_no_file_of_the_one_that_is_there(study: Study) -> None:
    study.prepare()
    before = _contents(study.results, study.work)
    for change in ({"budget": {**SMOKE["budget"], "max_epochs": 9}}, {"cohort": {**SMOKE["cohort"], "seed": 5}}):
        with pytest.raises(InputError):
            replace(study, **change).prepare()  # type: ignore[arg-type]
        assert _contents(study.results, study.work) == before


def test_budget_that_runs_may_be_reading_is_not_replaced_for_results_elsewhere(study: Study, tmp_path: Path) -> None:
    study.prepare()
    before = _contents(study.work)
    other = replace(study, results=tmp_path / "elsewhere", budget={**SMOKE["budget"], "max_epochs": 9})
    with pytest.raises(InputError, match="max_epochs is 2 there and 9 here"):
        other.prepare()
    assert _contents(study.work) == before
    assert not other.results.exists()


@pytest.fixture
def folder_study(write_case: Callable[..., Path], tmp_path: Path) -> Study:
    """A study on the folder of six cases."""
    for name in "abcdef":
        folder = write_case(name)
    return Study("x", {"kind": "folder", "folder": str(folder), "split": None}, tmp_path / "r", tmp_path / "w")


def _with_split(study: Study, folder: Path, test: str) -> Study:
    rest = sorted(set("abcdef") - {test})
    path = folder / f"split_{test}.json"
    write_json(path, {"train": rest[1:], "val": rest[:1], "test": [test]})
    return replace(study, cohort={**study.cohort, "split": path})


def test_other_split_file_is_refused_and_the_first_goes_on_working(folder_study: Study, tmp_path: Path) -> None:
    one, other = (_with_split(folder_study, tmp_path, test) for test in "ab")
    one.prepare()
    before = _contents(one.results, one.work)
    for asked in (other, folder_study, replace(other, results=tmp_path / "elsewhere")):
        with pytest.raises(InputError, match=r"another --split file, or with none\. Give this study another --name"):
            asked.prepare()
    assert _contents(one.results, one.work) == before
    one.prepare()
    assert [entry["case"] for entry in one.data_list["test"]] == ["a"]


def test_folder_of_other_cases_is_refused_and_one_that_was_moved_is_not(folder_study: Study, tmp_path: Path) -> None:
    folder_study.prepare()
    moved = tmp_path / "moved"
    folder_study.dataset_dir.rename(moved)
    study = replace(folder_study, cohort={**folder_study.cohort, "folder": str(moved)})
    study.prepare()
    shutil.rmtree(next(path for path in moved.rglob("f") if path.is_dir()))
    with pytest.raises(InputError, match="a folder of other cases, f being in one alone"):
        study.prepare()


def test_work_of_before_that_does_not_say_what_its_split_is_of_is_taken(folder_study: Study, tmp_path: Path) -> None:
    one, other = (_with_split(folder_study, tmp_path, test) for test in "ab")
    one.prepare()
    one.division_file.unlink()
    other.prepare()
    assert not one.division_file.exists()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("first", "then"), [(2, 3), (3, 2)])
def test_folds_of_another_number_are_refused_and_change_no_list(
    folder_study: Study, tmp_path: Path, first: int, then: int, known: bool
) -> None:
    one, other = (replace(folder_study, cohort={**folder_study.cohort, "folds": folds}) for folds in (first, then))
    one.prepare()
    if not known:
        one.division_file.unlink()  # as in a folder of before
    before = _contents(one.results, one.work)
    with pytest.raises(InputError, match=f"folds is {first} there and {then} here"):
        replace(other, results=tmp_path / "elsewhere").prepare()
    assert _contents(one.results, one.work) == before
    one.prepare()


def test_split_that_was_cut_short_is_completed(folder_study: Study) -> None:
    study = replace(folder_study, cohort={**folder_study.cohort, "folds": 3})
    study.prepare()
    before = _contents(study.results, study.work)
    study.parts[1].data_list_file.unlink()
    replace(study).prepare()
    assert _contents(study.results, study.work) == before


@pytest.mark.parametrize(
    ("budget", "complaint"),
    [
        ({"student_dtype": "auto"}, "student_dtype is auto, .* choose bfloat16 or float32"),
        ({"distiller#teacher_dtype": "auto"}, "teacher_dtype is auto"),
        ({"max_epochs": 0}, "max_epochs is 0: expected --epochs of 1 or more"),
        ({"roi_size": [32, 0, 32]}, "roi_size is .*: expected --crop of 1 or more"),
        ({"spacing": [1.0, 1.0, 0.0]}, "spacing is .*: expected --spacing above 0"),
    ],
)
def test_budget_that_cannot_be_one_is_refused(budget: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        choose_study(PRESETS, "phantom", budget=budget, **FOLDERS)
