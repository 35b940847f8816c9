"""Run what a plan still lacks: teachers first, then the rest; what is done stays done, what fails stands alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pkdr_monai.errors import InputError
from pkdr_monai.experiments.executors import Executor
from pkdr_monai.experiments.plan import Job
from pkdr_monai.files import read_json, read_object
from pkdr_monai.runs.record import duration

__all__ = ["estimated_seconds", "open_jobs", "run_plan"]

OVERHEAD = 6.0  # seconds that a job takes for its start, the first epoch's cache and its files


def run_plan(plan: Sequence[Job], executor: Executor, say: Callable[[str], None], expected: float) -> list[Job]:
    """Run the jobs of a plan that have no result yet, and tell how it goes.

    Args:
        plan: jobs, as :func:`~pkdr_monai.experiments.plan.make_plan` lists them.
        executor: what runs them.
        say: takes a line of text.
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
            say(f"{job.name}: not run, since its teacher failed")
            failed.append(job)
        for job, well in executor.run(ready):
            done += 1
            spent = time.monotonic() - start
            left = spent / done * (total - done) if done > 2 else max(0.0, expected - spent)
            if not well:
                failed.append(job)
            how = _summary(job) if well else f"FAILED, see {job.output_dir / 'log.txt'}"
            say(f"[{done}/{total}] {job.name}: {how}; about {duration(left)} left")
    return failed


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
        results: the study's folder: runs of the same cell that took place tell best.
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
    """Tell a result in a few words."""
    words = []
    for modality in job.evaluated:
        cases = read_json(job.result_file(modality))["cases"].values()
        mean = statistics.fmean(value for case in cases for value in case["dice"].values())
        words.append(f"Dice {mean:.3f} on {modality}")
    return ", ".join(words)


def _waves(plan: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the open jobs: those that others wait for, and the rest."""
    todo = [job for job in plan if job.todo]
    teachers = {job.teacher.name: job.teacher for job in todo if job.teacher is not None}
    first = [job for job in teachers.values() if job.todo or not (job.output_dir / "models" / "model.pt").is_file()]
    return first, [job for job in todo if job.name not in teachers]
