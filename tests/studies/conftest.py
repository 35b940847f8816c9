"""The cells of the repository, and a study whose cases need not exist for a plan to be made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.data.entries import data_list_hash
from pkdr_monai.files import write_json
from pkdr_monai.studies import Job, Repository, Study, make_plan

ROOT = Path(__file__).resolve().parents[2]
SMOKE: dict[str, Any] = json.loads((ROOT / "experiments" / "studies" / "smoke.json").read_text())


@pytest.fixture(scope="session")
def repository() -> Repository:
    return Repository(ROOT)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A study with a split of cases that are nowhere."""
    return make_study(tmp_path)


def make_study(folder: Path, budget: Mapping[str, Any] = SMOKE["budget"]) -> Study:
    data_list: dict[str, Any] = {"label_scheme": "brats2018", "seed": 0}
    data_list |= {
        section: [{"case": f"{section}{number}"} for number in range(count)]
        for section, count in {"training": 4, "validation": 2, "test": 2}.items()
    }
    study = Study("tiny", SMOKE["cohort"], folder / "results", folder / "work", budget)
    write_json(study.data_list_file, data_list | {"hash": data_list_hash(data_list)})
    return study


@pytest.fixture
def plan(repository: Repository, study: Study) -> Callable[..., list[Job]]:
    def make(what: str, modalities: tuple[str, ...] = ("t2",), seeds: tuple[int, ...] = (0,)) -> list[Job]:
        return make_plan(repository, study, repository.select(what), modalities, seeds)

    return make


def finish(job: Job, seconds: float = 3.0) -> None:
    """Leave what a job would leave: a result for each evaluation, and weights."""
    for modality in job.evaluated:
        cases = {"a": {"dice": dict.fromkeys(("tc", "wt", "et"), 0.5)}}
        content = {"cells": job.cells, "config_hash": job.settings_hash, "split_hash": job.study.split_hash}
        times = {"training_seconds": seconds, "evaluation_seconds": 1.0}
        write_json(job.result_file(modality), {**content, **times, "cases": cases})
    (job.output_dir / "models").mkdir(parents=True, exist_ok=True)
    (job.output_dir / "models" / "model.pt").touch()
