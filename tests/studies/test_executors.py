from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json
from pkdr_monai.studies import Job, LocalExecutor, SubmititExecutor
from pkdr_monai.studies.executors import _result
from tests.studies.conftest import ROOT, finish

Plan = Callable[..., list[Job]]
SEEDS = (0, 1, 2)


def _finish(job: Job) -> None:
    sys.stdout.write(f"{job.name} speaks\n")
    finish(job)


def _seed_1_dies(job: Job) -> None:
    if job.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    finish(job)


def _seed_1_raises(job: Job) -> None:
    if job.seed == 1:
        raise RuntimeError("the disk is full")
    finish(job)


def _meet(job: Job) -> None:
    """End only when another job runs at the same time."""
    (job.study.work / f"here{job.seed}").touch()
    other = job.study.work / f"here{1 - job.seed}"
    while not other.exists():
        time.sleep(0.05)


def test_local_jobs_run_in_processes_of_their_own_and_keep_a_log(plan: Plan) -> None:
    jobs = plan("table1/unimodal", seeds=SEEDS)
    assert [(job.seed, well) for job, well in LocalExecutor(work=_finish).run(jobs)] == [
        (0, True),
        (1, True),
        (2, True),
    ]
    assert not any(job.todo for job in jobs)
    assert (jobs[1].output_dir / "log.txt").read_text() == "table1_unimodal_t2_seed1 speaks\n"


def test_process_that_is_killed_takes_no_other_with_it(plan: Plan) -> None:
    ended = LocalExecutor(work=_seed_1_dies).run(plan("table1/unimodal", seeds=SEEDS))
    assert {job.seed: well for job, well in ended} == {0: True, 1: False, 2: True}


def test_error_is_in_the_log_of_its_job(plan: Plan) -> None:
    jobs = plan("table1/unimodal", seeds=SEEDS)
    assert {job.seed: well for job, well in LocalExecutor(work=_seed_1_raises).run(jobs)}[1] is False
    assert "RuntimeError: the disk is full" in (jobs[1].output_dir / "log.txt").read_text()


def test_two_workers_run_two_jobs_at_a_time(plan: Plan) -> None:
    jobs = plan("table1/unimodal", seeds=(0, 1))
    assert all(well for _, well in LocalExecutor(workers=2, work=_meet).run(jobs))


def test_jobs_end_with_the_process_that_started_them(plan: Plan, tmp_path: Path) -> None:
    code = f"""
import sys, pathlib
sys.path.insert(0, {str(ROOT)!r})
from tests.studies.test_executors import orphan
if __name__ == "__main__":
    orphan(pathlib.Path({str(tmp_path)!r}))
"""
    script = tmp_path / "start.py"
    script.write_text(code)
    process = subprocess.Popen([sys.executable, str(script)])
    marker = tmp_path / "beats"
    _wait(lambda: marker.exists())
    process.kill()
    process.wait()
    time.sleep(1.0)
    beats = marker.stat().st_size
    time.sleep(0.5)
    assert marker.stat().st_size == beats


def orphan(folder: Path) -> None:
    """Start a job that never ends."""
    from pkdr_monai.studies import Repository, make_plan
    from tests.studies.conftest import make_study

    repository = Repository(ROOT)
    jobs = make_plan(repository, make_study(folder), repository.select("table1/unimodal"), ["t2"], [0])
    list(LocalExecutor(work=_beat).run(jobs))


def _beat(job: Job) -> None:
    while True:
        with (job.study.work.parent / "beats").open("a") as file:
            file.write(".")
        time.sleep(0.05)


def _wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_at_least_one_worker_is_needed() -> None:
    with pytest.raises(InputError, match="workers must be 1 or more, got 0"):
        LocalExecutor(workers=0)


def test_submitit_runs_jobs_and_tells_how_each_ended(plan: Plan, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    jobs = plan("table1/unimodal", seeds=SEEDS)
    executor = SubmititExecutor(tmp_path / "submitit", cluster="local", work=_seed_1_raises)
    assert {job.seed: well for job, well in executor.run(jobs)} == {0: True, 1: False, 2: True}
    assert [job.todo for job in jobs] == [[], ["t2"], []]


def test_cluster_that_is_not_here_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(InputError, match="no slurm cluster here"):
        SubmititExecutor(tmp_path)


@pytest.mark.parametrize(("best", "weights", "epoch"), [({"epoch": 2}, "best", 2), (None, "last", None)])
def test_training_without_a_validation_is_scored_with_the_last_epochs_weights(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, best: dict[str, int] | None, weights: str, epoch: int | None
) -> None:
    (job,) = plan("table1/unimodal")
    record = {"settings": {"parameters": 1}, "peak_memory_mib": 1, "environment": {}}
    write_json(job.output_dir / "run.json", record if best is None else {**record, "best": best})
    (job.output_dir / "history.csv").write_text("epoch,loss,learning_rate,seconds\n1,0.5,0.001,2.0\n")
    monkeypatch.setattr("pkdr_monai.studies.executors.read_figures", lambda *_, **__: {})
    result = _result(job, "t2", 1.0)
    assert (result["checkpoint"], result["best_epoch"]) == (weights, epoch)
    assert result["method_hash"] == job.method_hash
