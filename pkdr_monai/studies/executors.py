"""Where jobs run (processes of this machine, or a Slurm cluster through submitit), and the run of a plan in them."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from pkdr_monai import DISCLAIMER
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, read_object, write_json
from pkdr_monai.runs.record import duration, now
from pkdr_monai.runs.tables import read_figures, read_history
from pkdr_monai.studies.plan import Job
from pkdr_monai.studies.results import ET_RULE
from pkdr_monai.workflow import run_bundle

__all__ = [
    "Executor",
    "LocalExecutor",
    "SubmititExecutor",
    "estimated_seconds",
    "open_jobs",
    "run_job",
    "run_plan",
    "seconds_left",
]


def run_job(job: Job) -> None:
    """Train, or continue a training that was cut short, then evaluate what has no result yet.

    Args:
        job: a job whose teacher is done.
    """
    if not job.is_trained:
        run_bundle(*job.training)
    for modality in job.todo:
        start = time.perf_counter()
        run_bundle(*job.evaluation(modality))
        write_json(job.result_file(modality), _result(job, modality, time.perf_counter() - start))


def _result(job: Job, modality: str, seconds: float) -> dict[str, Any]:
    """Put together what a table needs of an evaluation, and what distinguishes it from others."""
    record = read_json(job.output_dir / "run.json")
    epochs = read_history(job.output_dir / "history.csv")
    best = record.get(
        "best"
    )  # none where val_interval exceeds max_epochs: model.pt then holds the last epoch's network
    names = [entry["case"] for entry in job.study.data_list[job.study.scored]]  # in the order of the data loader
    return {
        "cells": list(job.cells),
        "modality": modality,
        "seed": job.seed,
        **({} if job.study.fold is None else {"fold": job.study.fold}),
        "checkpoint": "last" if best is None else "best",
        "scoring": job.study.budget.get("scoring", "nested"),
        "et_rule": ET_RULE,
        "config_hash": job.settings_hash,
        "method_hash": job.method_hash,
        "split_hash": job.study.split_hash,
        "teacher": job.teacher and job.teacher.settings_hash,
        "epochs": len(epochs),
        "best_epoch": None if best is None else best["epoch"],
        "parameters": record["settings"]["parameters"],
        "training_seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "evaluation_seconds": round(seconds, 1),
        "peak_memory_mib": record["peak_memory_mib"],
        "environment": record["environment"],
        "finished": now(),
        "commands": _portable(job),
        "cases": read_figures(job.evaluation_dir(modality), names, et_rule=True),
        "note": DISCLAIMER,
    }


def _portable(job: Job) -> list[str]:
    """Return the commands without the place that a data set has on this machine."""
    folder = job.study.cohort.get("folder")
    return [command.replace(str(folder), "DATASET_DIR") if folder else command for command in job.commands()]


PRELOADED = ["monai.bundle", "pkdr_monai.studies.executors", "pkdr_monai.data", "pkdr_monai.handlers"]


class Executor(Protocol):
    """Runs independent jobs."""

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, bool]]:
        """Run the jobs, and yield each as it ends, with whether it went well."""


class LocalExecutor:
    """Run jobs in processes of this machine, ``workers`` at a time.

    Each job has a process of its own, forked from one that has loaded torch and MONAI, so that it starts at once, gives
    its memory back, and can die without harm to the others. What it prints goes to ``log.txt`` in its folder.

    Args:
        workers: how many at a time; they share the processor's threads.
        work: what a process does; for tests.
    """

    def __init__(self, workers: int = 1, work: Callable[[Job], None] = run_job) -> None:
        if workers < 1:
            raise InputError(f"workers must be 1 or more, got {workers}.")
        self.workers = workers
        self.work = work

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, bool]]:
        """Run the jobs, and yield each as it ends; the processes end with the loop over them."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        waiting, running = list(jobs), dict[Any, tuple[ForkServerProcess, Job]]()
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    job = waiting.pop(0)
                    process = context.Process(target=_in_process, args=(self.work, job, self.workers))
                    process.start()
                    running[process.sentinel] = (process, job)
                for sentinel in wait(list(running)):
                    process, job = running.pop(sentinel)
                    process.join()
                    yield job, process.exitcode == 0
        finally:
            for process, _ in running.values():
                process.terminate()
                process.join()


class SubmititExecutor:
    """Submit jobs to Slurm through submitit, and wait for them; results come to the same folder, which nodes share.

    Args:
        folder: where submitit keeps its scripts and logs, on a disk that all nodes see.
        cluster: ``"slurm"``, or ``"local"`` to try the same path in processes of this machine.
        work: what a node does; for tests.
        parameters: settings of the cluster as submitit names them, such as ``{"slurm_partition": "gpu",
            "timeout_min": 600, "gpus_per_node": 1}``.

    Raises:
        InputError: when submitit is not installed, or the cluster is not there.
    """

    def __init__(
        self,
        folder: str | Path,
        cluster: str = "slurm",
        parameters: Mapping[str, Any] | None = None,
        work: Callable[[Job], None] = run_job,
    ) -> None:
        try:
            import submitit
        except ImportError as error:
            raise InputError("--executor slurm needs submitit: pip install 'pkdr-monai[slurm]'.") from error
        try:
            self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        except RuntimeError as error:
            raise InputError(
                f"no {cluster} cluster here ({error}). Run on a login node, or with --executor local."
            ) from error
        self._executor.update_parameters(**{"timeout_min": 24 * 60, **(parameters or {})})
        self.work = work
        self.poll_seconds = 10.0 if cluster == "slurm" else 0.2

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, bool]]:
        """Submit all jobs at once, and yield each as it ends."""
        from submitit.helpers import as_completed

        submitted = [(self._executor.submit(self.work, job), job) for job in jobs]
        jobs_of = {handle.job_id: job for handle, job in submitted}
        for handle in as_completed([handle for handle, _ in submitted], poll_frequency=self.poll_seconds):
            yield jobs_of[handle.job_id], handle.exception() is None


def _in_process(work: Callable[[Job], None], job: Job, workers: int) -> None:
    """Do a job in a process of its own, its output and the stack trace of an error in ``log.txt`` of its folder."""
    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(
        max(1, torch.get_num_threads() // workers)
    )  # of those that affinity and OMP_NUM_THREADS leave
    job.output_dir.mkdir(parents=True, exist_ok=True)
    with (job.output_dir / "log.txt").open("a") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    work(job)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, also after kill -9: nobody would collect its job."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


OVERHEAD = 6.0  # seconds that a job takes for its start, the first epoch's cache and its files


def run_plan(plan: Sequence[Job], executor: Executor, log: Callable[[str], None], expected: float) -> list[Job]:
    """Run the jobs of a plan that have no result yet, and log how it goes.

    Args:
        plan: jobs, as :func:`~pkdr_monai.studies.plan.make_plan` lists them.
        executor: what runs them.
        log: takes a line of text.
        expected: seconds that all of it may take, as :func:`estimated_seconds` gives it.

    Returns:
        The jobs that failed, those among them that could not start because their teacher failed.
    """
    first, then = _waves(plan)
    total, done, failed = len(first) + len(then), 0, list[Job]()
    start = time.monotonic()
    for wave in (first, then):
        ready = [job for job in wave if job.teacher not in failed]
        for job in (job for job in wave if job.teacher in failed):
            log(f"{job.name}: not run, since its teacher failed")
            failed.append(job)
        for job, well in executor.run(ready):
            done += 1
            spent = time.monotonic() - start
            left = seconds_left(spent, done, total, expected)
            if not well:
                failed.append(job)
            how = _summary(job) if well else f"FAILED, see {job.output_dir / 'log.txt'}"
            log(f"[{done}/{total}] {job.name}: {how}; about {duration(left)} left")
    return failed


def seconds_left(spent: float, done: int, total: int, expected: float) -> float:
    """Return how long the rest may take: as the runs that are done took, or as first expected while they are few.

    Example:
        >>> seconds_left(spent=60.0, done=3, total=4, expected=500.0)
        20.0
    """
    as_before = spent / done * (total - done)
    return as_before if done > 2 or done == total else max(as_before, expected - spent)


def open_jobs(plan: Sequence[Job]) -> list[Job]:
    """Return what there is to do, teachers first.

    A job is open where a result is missing, and a teacher also where its weights are gone and a student needs them.
    """
    first, then = _waves(plan)
    return first + then


def estimated_seconds(jobs: Iterable[Job], results: Path, seconds_per_step: Callable[[], float], workers: int) -> float:
    """Estimate how long jobs will take together.

    Args:
        jobs: the jobs to do.
        results: the study's folder: runs of the same cell that took place are the best guide.
        seconds_per_step: measures a training step; called when there is no run yet.
        workers: how many run at a time. They are taken for independent, which processes on one processor are not quite.

    Raises:
        InputError: when a file among the results is none.
    """
    known: dict[str, list[float]] = {}
    for path in (results / "runs").glob("*.json"):
        result = read_object(path)
        try:
            seconds = result["training_seconds"] + result["evaluation_seconds"]
            for cell in result["cells"]:
                known.setdefault(cell, []).append(seconds)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path} is no result of a run ({error}). Delete the file and run it again.") from error
    everything = [seconds for times in known.values() for seconds in times]
    total, step = 0.0, 0.0
    for job in jobs:
        times = [seconds for cell in job.cells for seconds in known.get(cell, ())] or everything
        if not times:
            step = step or seconds_per_step()
            times = [OVERHEAD + step * _steps_of(job)]
        total += statistics.median(times)
    return total / workers


def _steps_of(job: Job) -> float:
    """Return about how many training steps of a single network a job costs, its validations and evaluation included."""
    budget = {**read_json(job.configs[0]), **job.study.budget}
    cases, epochs = job.study.data_list, budget["max_epochs"]
    steps = epochs * -(-len(cases["training"]) // budget["batch_size"])
    forward = 1 / 3 / budget["batch_size"]  # a forward pass of one crop, as a part of a training step
    scored = len(cases["validation"]) * epochs / budget["val_interval"] + len(cases[job.study.scored])
    return steps * (1.35 if job.teacher else 1.0) + scored * forward * 8  # about 8 windows a volume


def _summary(job: Job) -> str:
    """Describe a result in a few words."""
    words = []
    for modality in job.evaluated:
        cases = read_json(job.result_file(modality))["cases"].values()
        mean = statistics.fmean(value for case in cases for value in case["dice"].values())
        words.append(f"Dice {mean:.3f} on {modality}")
    return ", ".join(words)


def _waves(plan: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the open jobs: those that others wait for, and the rest; refuse what was trained on other cases."""
    todo = [job for job in plan if job.todo]
    teachers = {job.teacher.name: job.teacher for job in todo if job.teacher is not None}
    for job in (*teachers.values(), *todo):
        _ = job.is_trained  # raises where a run of other cases is in the way
    first = [job for job in teachers.values() if job.todo or not (job.output_dir / "models" / "model.pt").is_file()]
    return first, [job for job in todo if job.name not in teachers]
