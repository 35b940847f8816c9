from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pkdr_monai.files import read_json
from pkdr_monai.studies import Job, LocalExecutor, Repository, Study, choose_study, make_plan, read_results
from pkdr_monai.studies.executors import _portable
from tests.studies.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    presets = ROOT / "experiments" / "studies"
    study = choose_study(presets, "phantom", results=folder / "results", work=folder / "work", smoke=True)
    study.prepare()
    return study


def _run(job: Job) -> None:
    """Do a job where it belongs, in a process of its own."""
    assert [well for _, well in LocalExecutor().run([job])] == [True], (job.output_dir / "log.txt").read_text()


@pytest.fixture(scope="module")
def done(smoke: Study, repository: Repository) -> Job:
    (job,) = make_plan(repository, smoke, repository.select("table1/unimodal"), ["t2"], [0])
    _run(job)
    return job


def test_result_holds_dice_and_hd95_of_each_scored_case_and_region(done: Job) -> None:
    result = read_json(done.result_file("t2"))
    assert list(result["cases"]) == [entry["case"] for entry in done.study.data_list["test"]]
    for case in result["cases"].values():
        assert set(case) == {"dice", "hd95", "dice_et_rule", "hd95_et_rule"}
        for metric, limits in {"dice": (0, 1), "hd95": (0, 6.0 * math.hypot(40, 40, 32) + 1e-3)}.items():
            assert set(case[metric]) == {"tc", "wt", "et"}
            values = [*case[metric].values(), case[f"{metric}_et_rule"]]
            assert all(limits[0] <= value <= limits[1] for value in values)


def test_result_says_what_it_is_of(done: Job) -> None:
    result = read_json(done.result_file("t2"))
    assert result["cells"] == ["table1/unimodal"]
    assert (result["modality"], result["seed"], result["epochs"], result["teacher"]) == ("t2", 0, 2, None)
    assert (result["config_hash"], result["split_hash"]) == (done.settings_hash, done.study.split_hash)
    assert result["environment"]["torch"] == torch.__version__
    assert min(result[key] for key in ("training_seconds", "evaluation_seconds", "peak_memory_mib", "parameters")) > 0
    assert done.todo == []


def test_result_is_one_that_a_comparison_reads(done: Job) -> None:
    (result,) = read_results(done.study.results)
    assert result.cells == ("table1/unimodal",)


def test_evaluation_alone_is_repeated_when_its_result_is_gone(done: Job) -> None:
    path, weights = done.result_file("t2"), done.output_dir / "models" / "model.pt"
    before, trained = read_json(path), weights.stat().st_mtime_ns
    path.unlink()
    _run(done)
    assert weights.stat().st_mtime_ns == trained
    assert read_json(path)["cases"] == before["cases"]


def test_place_of_a_data_set_is_kept_out_of_the_result(repository: Repository, smoke: Study, tmp_path: Path) -> None:
    study = replace(smoke, cohort={"kind": "folder", "folder": "/data/secret"})
    (job,) = make_plan(repository, study, repository.select("table1/unimodal"), ["t2"], [0])
    assert all("/data/secret" not in command and "DATASET_DIR" in command for command in _portable(job))
