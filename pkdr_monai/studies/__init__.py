"""The paper's tables: cells, plans of runs, what runs them, and the results. Tables and figures are in its modules."""

from pkdr_monai.studies.cells import Cell, Repository
from pkdr_monai.studies.executors import (
    Executor,
    LocalExecutor,
    SubmititExecutor,
    estimated_seconds,
    open_jobs,
    run_plan,
)
from pkdr_monai.studies.plan import Job, make_plan
from pkdr_monai.studies.results import Result, Scores, group_scores, read_results
from pkdr_monai.studies.study import Study, choose_study
from pkdr_monai.studies.study_results import StudyResults, read_study

__all__ = [
    "Cell",
    "Executor",
    "Job",
    "LocalExecutor",
    "Repository",
    "Result",
    "Scores",
    "Study",
    "StudyResults",
    "SubmititExecutor",
    "choose_study",
    "estimated_seconds",
    "group_scores",
    "make_plan",
    "open_jobs",
    "read_results",
    "read_study",
    "run_plan",
]
