"""Where jobs run: processes of this machine, N at a time, or a Slurm cluster through submitit."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from pkdr_monai.errors import InputError
from pkdr_monai.experiments.job import run_job
from pkdr_monai.experiments.plan import Job

__all__ = ["Executor", "LocalExecutor", "SubmititExecutor"]

PRELOADED = ["monai.bundle", "pkdr_monai.experiments.job", "pkdr_monai.data", "pkdr_monai.handlers"]


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
