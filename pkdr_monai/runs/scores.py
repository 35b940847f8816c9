"""The tables that MONAI's ``MetricsSaver`` writes in an evaluation, such as ``val_mean_dice_raw.csv``."""

from __future__ import annotations

import csv
from pathlib import Path

from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS

__all__ = ["read_table"]


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
