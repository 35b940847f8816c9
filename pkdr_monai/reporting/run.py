"""What a folder of results holds: its record, its history, its segmentations, and its scores with their summary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.data.nnunet import is_raw_data
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_object
from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.volumes import Segmentation, case_of_file, find_segmentations
from pkdr_monai.runs.tables import METRIC_FILES, read_history, read_table

__all__ = [
    "METRICS",
    "Metric",
    "Run",
    "Scores",
    "Summary",
    "facts",
    "read_run",
    "read_scores",
    "summarise",
    "worst_cases",
]


@dataclass(frozen=True)
class Run:
    """A training run, or a folder of predictions, as far as it is there.

    Args:
        folder: where it lies.
        record: content of ``run.json``, or nothing.
        history: rows of ``history.csv``, or nothing.
        scores: scores of its evaluation, by metric and case.
        segmentations: segmentations that lie in it, by case.
    """

    folder: Path
    record: Mapping[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    scores: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    segmentations: dict[str, Segmentation] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that ``run.json`` notes, or nothing."""
        settings = self.record.get("settings")
        return settings if isinstance(settings, Mapping) else {}

    @property
    def name(self) -> str:
        """The run's name, or its folder's."""
        return str(self.settings.get("run_name") or self.folder.absolute().name)

    @property
    def weights(self) -> Path:
        """Where a training run keeps its weights."""
        return self.folder / "models" / "model.pt"


def read_run(folder: str | Path) -> Run:
    """Read what a folder of results holds.

    Args:
        folder: a training run such as ``runs/pkdr_t2``, or a folder of predictions.

    Raises:
        InputError: when the folder is absent, holds nothing to report, or a file in it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected a training run, or a folder of predictions.")
    record = read_object(folder / "run.json") if (folder / "run.json").is_file() else {}
    history = read_history(folder / "history.csv") if (folder / "history.csv").is_file() else []
    scores = read_scores(folder / "evaluation")
    segmentations = {} if history else find_segmentations(folder)
    if not (record or history or scores or segmentations):
        raise InputError(
            f"{folder} holds nothing to report: expected run.json, history.csv or evaluation/ of a training run, or "
            "segmentations named <case>_seg.nii.gz."
        )
    return Run(folder, record, history, scores, segmentations)


def facts(run: Run) -> dict[str, dict[str, str]]:
    """Return what ran on what, as tables of names and values: the record, its hashes and that of the weights.

    Example:
        >>> facts(Run(Path("r"), {"status": "finished", "environment": {"torch": "2.13.0"}}))
        {'run': {'status': 'finished'}, 'environment': {'torch': '2.13.0'}}
    """
    tables: dict[str, dict[str, str]] = {"run": {}}
    for key, value in run.record.items():
        if isinstance(value, Mapping):
            tables[key] = {str(name): _shown(item) for name, item in value.items()}
        else:
            tables["run"][key] = _shown(value)
    if run.weights.is_file():
        tables["run"]["weights"] = f"models/model.pt, SHA-256 {file_hash(run.weights)}"
    return {title.replace("_", " "): rows for title, rows in tables.items() if rows}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


@dataclass(frozen=True)
class Metric:
    """How a score is named and shown.

    Args:
        file: the file of ``MetricsSaver`` that holds it by case.
        title: what people call it.
        unit: its unit, or nothing.
        decimals: digits after the point.
    """

    file: str
    title: str
    unit: str
    decimals: int


METRICS: dict[str, Metric] = {
    "dice": Metric(METRIC_FILES["dice"], "Dice", "", 3),
    "hd95": Metric(METRIC_FILES["hd95"], "HD95", "mm", 1),
}
"""The scores that a report knows, in the order in which it shows them."""

Scores = Mapping[str, Mapping[str, tuple[float, ...]]]
"""Metric to case to the scores of the regions TC, WT, ET; NaN or infinite where a score is not defined."""


@dataclass(frozen=True)
class Summary:
    """One region's scores over all cases where they are finite: ``count`` of ``total`` cases."""

    count: int
    total: int
    mean: float
    deviation: float
    median: float
    quartiles: tuple[float, float]
    extremes: tuple[float, float]


def read_scores(folder: str | Path) -> dict[str, dict[str, tuple[float, ...]]]:
    """Read the scores in the folder of an evaluation.

    Args:
        folder: where ``MetricsSaver`` wrote, such as ``runs/pkdr_t2/evaluation``.

    Returns:
        Those of :data:`METRICS` that are there.

    Raises:
        InputError: when a file is damaged, or has one case twice.
    """
    paths = {name: Path(folder) / metric.file for name, metric in METRICS.items()}
    return {name: _scores_by_case(path) for name, path in paths.items() if path.is_file()}


def worst_cases(scores: Scores, count: int) -> list[str]:
    """Return the cases with the lowest mean Dice over the regions, the worst first.

    Example:
        >>> worst_cases({"dice": {"a": (0.9, 0.9, 0.8), "b": (0.1, 0.5, 0.2), "c": (0.7, 0.7, 0.7)}}, 2)
        ['b', 'c']
    """
    dice = scores.get("dice", {})
    return sorted(dice, key=lambda case: (_order(float(np.mean(dice[case]))), case))[:count]


def summarise(values: Mapping[str, tuple[float, ...]]) -> dict[str, Summary]:
    """Summarise one metric by region; regions without a finite score are left out.

    Example:
        >>> summarise({"a": (0.5, 0.9, 0.1), "b": (0.7, 0.9, float("nan"))})["et"].count
        1
    """
    table = np.array([values[case] for case in values], dtype=float).reshape(-1, len(REGIONS))
    summaries = {}
    for region, column in zip(REGIONS, table.T, strict=True):
        finite = column[np.isfinite(column)]
        if finite.size:
            low, median, high = (float(value) for value in np.percentile(finite, [25, 50, 75]))
            spread = float(finite.std(ddof=1)) if finite.size > 1 else math.nan
            extremes = float(finite.min()), float(finite.max())
            summaries[region] = Summary(
                finite.size, len(column), float(finite.mean()), spread, median, (low, high), extremes
            )
    return summaries


def _scores_by_case(path: Path) -> dict[str, tuple[float, ...]]:
    scores: dict[str, tuple[float, ...]] = {}
    rows = read_table(path)
    numbered = {folder: is_raw_data(folder) for folder in {Path(file).parent for file, _ in rows}}
    for file, figures in rows:
        case = case_of_file(file, numbered[Path(file).parent])
        if case in scores:
            raise InputError(f"{path} has the case {case} twice. Evaluate again into a folder of its own.")
        scores[case] = figures
    return scores


def _order(value: float) -> float:
    return value if math.isfinite(value) else math.inf
