"""A study is read whole, or refused with a sentence that names its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json
from pkdr_monai.studies import read_study


def test_a_study_has_its_facts_results_and_cost(study_folder: Path) -> None:
    study = read_study(study_folder)
    assert (study.name, study.scored, study.cases["test"]) == ("synthetic", "test", 6)
    assert len(study.results) == 3 * (6 * 2 + 2)
    assert "table3/full" in study.cells
    assert study.cost["table1/uhved"]["step"] == 1.1


def test_cells_of_one_training_cost_the_same(study_folder: Path) -> None:
    cost = read_study(study_folder).cost
    assert "table3/full" not in read_json(study_folder / "cost.json")["cells"]
    assert cost["table3/full"] == cost["table1/pkdr"] == {"step": 1.5, "memory": 1.15}


def test_a_study_may_have_no_cost_and_no_results(study_folder: Path) -> None:
    (study_folder / "cost.json").unlink()
    for path in (study_folder / "runs").iterdir():
        path.unlink()
    study = read_study(study_folder)
    assert (study.cost, study.results, study.cells) == ({}, (), ())


def test_a_folder_that_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"study.json"):
        read_study(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("cohort", "phantom"), ("name", None), ("cases", []), ("scored", "training")]
)
def test_what_is_wrong_in_study_json_is_named(study_folder: Path, name: str, value: Any) -> None:
    write_json(study_folder / "study.json", {**read_json(study_folder / "study.json"), name: value})
    with pytest.raises(InputError, match=rf"study.json: expected {name}"):
        read_study(study_folder)


def test_results_of_another_division_are_refused(study_folder: Path) -> None:
    write_json(study_folder / "study.json", {**read_json(study_folder / "study.json"), "split_hash": "e"})
    with pytest.raises(InputError, match=r"bundle_teacher_all_0.json has the split of cases .*study.json has 'e'"):
        read_study(study_folder)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"cells": {}},
        {"environment": {}, "cells": {"table1/pkdr": {"step": 1.3}}},
        {"environment": {}, "cells": {"table1/pkdr": {"step": 0, "memory": 1}}},
    ],
)
def test_a_cost_that_cannot_be_is_named(study_folder: Path, content: Any) -> None:
    write_json(study_folder / "cost.json", content)
    with pytest.raises(InputError, match=r"cost.json: .*(expected environment|expected a ratio)"):
        read_study(study_folder)
