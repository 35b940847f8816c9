"""Do one job of a plan in this process: train, evaluate, and keep the figures as one JSON file an evaluation."""

from __future__ import annotations

import datetime
import time
from typing import Any

from pkdr_monai import DISCLAIMER
from pkdr_monai.experiments.plan import Job
from pkdr_monai.files import read_json, read_object, write_json
from pkdr_monai.regions import REGIONS
from pkdr_monai.runs.history import read_history
from pkdr_monai.runs.scores import read_table
from pkdr_monai.workflow import run_bundle

__all__ = ["run_job"]

METRICS = {"dice": "val_mean_dice", "hd95": "val_hd95"}


def run_job(job: Job) -> None:
    """Train, or continue a training that was cut short, then evaluate what has no result yet.

    Args:
        job: a job whose teacher is done.
    """
    if not _is_trained(job):
        run_bundle(*job.training)
    for modality in job.todo:
        start = time.perf_counter()
        run_bundle(*job.evaluation(modality))
        write_json(job.result_file(modality), _result(job, modality, time.perf_counter() - start))


def _is_trained(job: Job) -> bool:
    record = job.output_dir / "run.json"
    return record.is_file() and read_object(record).get("status") == "finished"


def _result(job: Job, modality: str, seconds: float) -> dict[str, Any]:
    """Put together what a table needs of an evaluation, and what tells it from others."""
    record = read_json(job.output_dir / "run.json")
    epochs = read_history(job.output_dir / "history.csv")
    return {
        "cells": list(job.cells),
        "modality": modality,
        "seed": job.seed,
        **({} if job.study.fold is None else {"fold": job.study.fold}),
        "checkpoint": "best",
        "scoring": job.study.budget.get("scoring", "nested"),
        "config_hash": job.settings_hash,
        "split_hash": job.study.split_hash,
        "teacher": job.teacher and job.teacher.settings_hash,
        "epochs": len(epochs),
        "best_epoch": record["best"]["epoch"],
        "parameters": record["settings"]["parameters"],
        "training_seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
        "evaluation_seconds": round(seconds, 1),
        "peak_memory_mib": record["peak_memory_mib"],
        "environment": record["environment"],
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commands": _portable(job),
        "cases": _cases(job, modality),
        "note": DISCLAIMER,
    }


def _portable(job: Job) -> list[str]:
    """Return the commands without the place that a data set has on this machine."""
    folder = job.study.cohort.get("folder")
    return [command.replace(str(folder), "DATASET_DIR") if folder else command for command in job.commands()]


def _cases(job: Job, modality: str) -> dict[str, dict[str, dict[str, float]]]:
    """Read the figures of each case, ``{case: {metric: {region: value}}}``, from the tables of the evaluation."""
    names = [entry["case"] for entry in job.study.data_list[job.study.scored]]  # in the order of the data loader
    figures: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names}
    for metric, table in METRICS.items():
        rows = read_table(job.evaluation_dir(modality) / f"{table}_raw.csv")
        for name, (_, values) in zip(names, rows, strict=True):
            figures[name][metric] = {region: round(value, 5) for region, value in zip(REGIONS, values, strict=True)}
    return figures
