"""The paper's tables as data: cells, plans of runs, and what runs them. ``pkdr_monai.comparison`` reads the results."""

from pkdr_monai.experiments.cells import Cell, Repository
from pkdr_monai.experiments.executors import (
    Executor,
    LocalExecutor,
    SubmititExecutor,
    estimated_seconds,
    open_jobs,
    run_plan,
)
from pkdr_monai.experiments.plan import Job, make_plan
from pkdr_monai.experiments.study import Study, choose_study

__all__ = [
    "Cell",
    "Executor",
    "Job",
    "LocalExecutor",
    "Repository",
    "Study",
    "SubmititExecutor",
    "choose_study",
    "estimated_seconds",
    "make_plan",
    "open_jobs",
    "run_plan",
]
