"""The tables of a run: ``history.csv``, and those that MONAI's ``MetricsSaver`` writes in an evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write
from pkdr_monai.regions import REGIONS

__all__ = ["METRIC_FILES", "read_figures", "read_history", "read_table", "write_history"]


def read_history(path: str | Path) -> list[dict[str, float]]:
    """Read the rows of a history; a number that an epoch does not have, such as a validation, is left out of its row.

    Args:
        path: the CSV file.

    Raises:
        InputError: when the file is damaged, or has no column ``epoch``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "history.csv")
        >>> write_history(path, [{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.5, "val_mean_dice": 0.25}])
        >>> read_history(path)
        [{'epoch': 1.0, 'loss': 0.9}, {'epoch': 2.0, 'loss': 0.5, 'val_mean_dice': 0.25}]
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except (AttributeError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} is not a history: expected a header and numbers. Copy it again, or delete it; a training that is "
            "resumed continues without."
        ) from error
    if any("epoch" not in row for row in rows):
        raise InputError(f"{path} is not a history: it has no column epoch. Copy it again, or delete it.")
    return rows


def write_history(path: str | Path, rows: Sequence[dict[str, float]]) -> None:
    """Write the rows of a history, atomically; the columns are those of all rows, in the order of their appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
    with atomic_write(Path(path)) as file:
        file.write(text.getvalue().encode(errors="backslashreplace"))


METRIC_FILES = {"dice": "val_mean_dice_raw.csv", "hd95": "val_hd95_raw.csv"}
"""The table of each metric in the folder of an evaluation."""
RULED_FILES = {"dice_et_rule": "val_dice_et_rule_raw.csv", "hd95_et_rule": "val_hd95_et_rule_raw.csv"}


def read_table(path: str | Path, figures: int = len(REGIONS)) -> list[tuple[str, tuple[float, ...]]]:
    """Read one metric of an evaluation.

    Args:
        path: the table: a row for each image, with its file name and a number for each region.
        figures: how many numbers a row has: one for each region, or 1 in the tables of the ET rule.

    Returns:
        Each row's file name, and its figures, those of TC, WT and ET in the order of the table; one may be NaN.

    Raises:
        InputError: when the file is damaged.
    """
    columns = [f"class{channel}" for channel in range(figures)]
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file, quoting=csv.QUOTE_NONE)  # as MetricsSaver writes
            return [(str(row["filename"]), tuple(float(row[column]) for column in columns)) for row in rows]
    except (KeyError, TypeError, ValueError, OSError, csv.Error) as error:
        raise InputError(
            f"{path} is not what an evaluation writes: expected the columns filename, {', '.join(columns)} with a "
            "number each. Evaluate again."
        ) from error


def read_figures(folder: str | Path, names: Sequence[str], *, et_rule: bool = False) -> dict[str, dict[str, Any]]:
    """Read Dice and HD95 of each case from an evaluation, to five decimals.

    Args:
        folder: folder of the evaluation.
        names: names of the cases, in the order in which they were scored.
        et_rule: read the scores of ET after the ET rule too, which an evaluation with ``et_rule`` writes.

    Returns:
        ``{case: {"dice": {region: value}, "hd95": {region: value}}}``, with ``"dice_et_rule"`` and ``"hd95_et_rule"``,
        a number each, beside them where asked for.

    Raises:
        InputError: when a table is damaged or absent.
    """
    figures: dict[str, dict[str, Any]] = {name: {} for name in names}
    for metric, table in METRIC_FILES.items():
        for name, (_, values) in zip(names, read_table(Path(folder) / table), strict=True):
            figures[name][metric] = {region: round(value, 5) for region, value in zip(REGIONS, values, strict=True)}
    for metric, table in RULED_FILES.items() if et_rule else ():
        for name, (_, (value,)) in zip(names, read_table(Path(folder) / table, figures=1), strict=True):
            figures[name][metric] = round(value, 5)
    return figures
