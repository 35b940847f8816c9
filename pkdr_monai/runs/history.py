"""``history.csv``: one row for each epoch of a training, read and written here alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write

__all__ = ["read_history", "write_history"]


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
