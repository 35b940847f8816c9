"""The tables that MONAI's ``MetricsSaver`` writes in an evaluation, such as ``val_mean_dice_raw.csv``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS

__all__ = ["read_figures", "read_table"]

METRICS = {"dice": "val_mean_dice_raw.csv", "hd95": "val_hd95_raw.csv"}


def read_table(path: str | Path) -> list[tuple[str, tuple[float, ...]]]:
    """Read one metric of an evaluation.

    Args:
        path: the table: a row for each image, with its file name and a number for each region.

    Returns:
        Each row's file name, and its figures of TC, WT and ET, in the order of the table; a figure may be NaN.

    Raises:
        InputError: when the file is damaged.
    """
    columns = [f"class{channel}" for channel in range(len(REGIONS))]
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, quoting=csv.QUOTE_NONE)  # as MetricsSaver writes
            return [(str(row["filename"]), tuple(float(row[column]) for column in columns)) for row in rows]
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        raise InputError(
            f"{path} is not what an evaluation writes: expected the columns filename, {', '.join(columns)} with a "
            "number each. Evaluate again."
        ) from error


def read_figures(folder: str | Path, names: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Read Dice and HD95 of each case from an evaluation, to five decimals.

    Args:
        folder: folder of the evaluation.
        names: names of the cases, in the order in which they were scored.

    Returns:
        ``{case: {"dice": {region: value}, "hd95": {region: value}}}``.

    Raises:
        InputError: when a table is damaged.
    """
    figures: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names}
    for metric, table in METRICS.items():
        for name, (_, values) in zip(names, read_table(Path(folder) / table), strict=True):
            figures[name][metric] = {region: round(value, 5) for region, value in zip(REGIONS, values, strict=True)}
    return figures
