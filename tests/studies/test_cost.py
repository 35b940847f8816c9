from __future__ import annotations

import pytest
import torch

from pkdr_monai.files import read_json
from pkdr_monai.studies import Repository, Study
from pkdr_monai.studies.cost import REFERENCE, complete_cost, measure_cost, seconds_per_step, training_step
from tests.studies.conftest import SMOKE

BUDGET = {**SMOKE["budget"], "roi_size": [16, 16, 16]}


@pytest.mark.parametrize("name", ["table1/unimodal", "table1/pkdr", "table1/uhved", "table2/vae"])
def test_step_of_a_method_is_built_from_its_configs_and_runs(repository: Repository, name: str) -> None:
    torch.manual_seed(0)
    training_step(repository.cells[name], BUDGET)()


@pytest.mark.slow
def test_ratios_are_to_the_unimodal_step(repository: Repository) -> None:
    cells = [repository.cells[name] for name in (REFERENCE, "table1/pkdr")]
    cost = measure_cost(cells, BUDGET, rounds=3)
    assert cost["cells"][REFERENCE] == {"step": 1.0, "memory": 1.0}
    assert cost["cells"]["table1/pkdr"]["step"] > 0.0
    assert cost["cells"]["table1/pkdr"]["memory"] > 0.0


def test_only_what_is_not_known_is_measured(
    repository: Repository, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def measure(cells: list, budget: object) -> dict[str, object]:
        asked.append([cell.name for cell in cells])
        return {"cells": {cell.name: {"step": 1.0, "memory": 1.0} for cell in cells}}

    monkeypatch.setattr("pkdr_monai.studies.cost.measure_cost", measure)
    for names in (["table1/pkdr"], ["table1/pkdr", "table1/pmkl"], [REFERENCE]):
        complete_cost(repository, study, [repository.cells[name] for name in names])
    assert asked == [[REFERENCE, "table1/pkdr"], [REFERENCE, "table1/pmkl"]]
    assert set(read_json(study.results / "cost.json")["cells"]) == {REFERENCE, "table1/pkdr", "table1/pmkl"}


def test_seconds_of_a_step_are_measured(repository: Repository) -> None:
    assert seconds_per_step(repository.cells[REFERENCE], BUDGET) > 0
