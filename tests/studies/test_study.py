"""A study is drawn, divided and recorded, and is not mixed with another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json
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
