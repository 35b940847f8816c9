"""The scores of an evaluation, case by case, from the files that MONAI's ``MetricsSaver`` wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pkdr_monai.data.layouts import cases_of_files
from pkdr_monai.data.names import NIFTI_NAME
from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS
from pkdr_monai.runs.tables import read_table

__all__ = ["METRICS", "Metric", "Scores", "Summary", "case_of_file", "read_scores", "summarise", "worst_cases"]


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
    "dice": Metric("val_mean_dice_raw.csv", "Dice", "", 3),
    "hd95": Metric("val_hd95_raw.csv", "HD95", "mm", 1),
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
    return {name: _read(path) for name, path in paths.items() if path.is_file()}


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


def case_of_file(path: str) -> str:
    """Return the case that an image file belongs to.

    Example:
        >>> case_of_file("HGG/ann/ann_t2.nii.gz"), case_of_file("imagesTr/BRATS_001.nii.gz")
        ('ann', 'BRATS_001')
    """
    name = Path(path.replace("\\", "/"))
    cases = cases_of_files([name], Path())
    if cases:
        return cases[0].name
    match = NIFTI_NAME.fullmatch(name.name)
    return match["stem"] if match else name.name


def _read(path: Path) -> dict[str, tuple[float, ...]]:
    scores: dict[str, tuple[float, ...]] = {}
    for file, figures in read_table(path):
        case = case_of_file(file)
        if case in scores:
            raise InputError(f"{path} has the case {case} twice. Evaluate again into a folder of its own.")
        scores[case] = figures
    return scores


def _order(value: float) -> float:
    return value if math.isfinite(value) else math.inf
