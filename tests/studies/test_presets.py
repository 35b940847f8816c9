from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.studies import choose_study
from tests.studies.conftest import ROOT, SMOKE

FOLDERS: dict[str, Any] = {"results": "results", "work": "work"}
PRESETS = ROOT / "experiments" / "studies"


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
