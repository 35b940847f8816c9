"""The committed results stay valid: today's configs still stand for the settings that each was measured with."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.files import read_json
from pkdr_monai.studies import Repository, Study, make_plan
from tests.studies.conftest import ROOT

PHANTOM = ROOT / "experiments" / "results" / "phantom"
RECORDS = {path.stem: read_json(path) for path in sorted((PHANTOM / "runs").glob("*.json"))}


@pytest.fixture(scope="module")
def planned() -> dict[str, str]:
    """The hash that the current configs give, by the stem of the result file."""
    repository, record = Repository(ROOT), read_json(PHANTOM / "study.json")
    study = Study(record["name"], record["cohort"], PHANTOM, Path("runs"), record["budget"])
    cells = [repository.cells[name] for name in sorted({name for one in RECORDS.values() for name in one["cells"]})]
    modalities = sorted({one["modality"] for one in RECORDS.values()} - {"all"})
    seeds = sorted({one["seed"] for one in RECORDS.values()})
    jobs = make_plan(repository, study, cells, modalities, seeds)
    return {job.result_file(modality).stem: job.settings_hash for job in jobs for modality in job.evaluated}


def test_there_are_recorded_results() -> None:
    assert len(RECORDS) > 80


@pytest.mark.parametrize("name", RECORDS)
def test_recorded_hash_is_the_one_of_todays_configs(name: str, planned: dict[str, str]) -> None:
    assert planned.get(name) == RECORDS[name]["config_hash"]
