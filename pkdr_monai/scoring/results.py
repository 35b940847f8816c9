"""Scores as files and as a table: a row for each case, and what they come to over all of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai import DISCLAIMER, __version__
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write, write_json
from pkdr_monai.scoring.case import SHOWN, columns
from pkdr_monai.scoring.cohort import Scored

__all__ = ["summary", "table", "write_scores"]

TITLES = ("WT", "TC", "ET", "mean")


def summary(scored: Scored) -> dict[str, dict[str, float | int | None]]:
    """Return mean, standard deviation (of a sample, so ``None`` for one case), median and number by column.

    Example:
        >>> summary(Scored({"a": dict.fromkeys(columns(0), 1.0)}, {}, {"et_rule": 0}))["dice_wt"]
        {'mean': 1.0, 'sd': None, 'median': 1.0, 'n': 1}
    """
    result: dict[str, dict[str, float | int | None]] = {}
    for column in _columns(scored):
        values = np.array([scores[column] for scores in scored.cases.values()])
        deviation = float(values.std(ddof=1)) if values.size > 1 else None
        result[column] = {
            "mean": float(values.mean()),
            "sd": deviation,
            "median": float(np.median(values)),
            "n": values.size,
        }
    return result


def write_scores(scored: Scored, folder: str | Path) -> tuple[Path, Path]:
    """Write ``scores.csv``, a row for each case, and ``scores.json``, the summary with all that led to it.

    Args:
        scored: the scores.
        folder: where to write; it is made where it is absent.

    Returns:
        The two files.

    Raises:
        InputError: when they cannot be written.
    """
    names = _columns(scored)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *names])
    writer.writerows([case, *(scores[name] for name in names)] for case, scores in scored.cases.items())
    rows, whole = Path(folder) / "scores.csv", Path(folder) / "scores.json"
    try:
        with atomic_write(rows) as file:
            file.write(text.getvalue().encode())
        write_json(whole, _record(scored))
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror or error}; check the disk and --output."
        ) from error
    return rows, whole


def table(scored: Scored) -> list[str]:
    """Return the lines of a table for people: Dice and HD95 by region, over all cases.

    Example:
        >>> print("\\n".join(table(Scored({"a": dict.fromkeys(columns(0), 1.0)}, {}, {"et_rule": 0}))))
        1 case             WT      TC      ET    mean
        Dice   mean     1.000   1.000   1.000   1.000
               sd           -       -       -       -
               median   1.000   1.000   1.000   1.000
        HD95   mean       1.0     1.0     1.0     1.0
        (mm)   sd           -       -       -       -
               median     1.0     1.0     1.0     1.0
    """
    figures, rule = summary(scored), scored.options["et_rule"]
    titles = [*TITLES, "ET*"] if rule else list(TITLES)
    count = len(scored.cases)
    counted = f"{count} case{'s' * (count != 1)}"
    lines = [f"{counted:<13}" + "".join(f"{title:>8}" for title in titles)]
    for metric, decimals, names in (("dice", 3, ("Dice", "", "")), ("hd95", 1, ("HD95", "(mm)", ""))):
        shown = [name for name in figures if name.startswith(metric)]
        for name, statistic in zip(names, ("mean", "sd", "median"), strict=True):
            cells = [_cell(figures[column][statistic], decimals) for column in shown]
            lines.append(f"{name:<7}{statistic:<6}" + "".join(f"{cell:>8}" for cell in cells))
    if rule:
        lines.append(f"* predictions with less than {rule:g} mm³ of ET: counted as necrosis")
    if scored.options.get("lesions"):
        lines += _lesions(scored)
    return lines


def _columns(scored: Scored) -> tuple[str, ...]:
    return columns(scored.options["et_rule"], scored.options.get("lesions", 0.0))


def _lesions(scored: Scored) -> list[str]:
    """Return the lines of the lesions: how many in all cases, and their Dice, first averaged within each case."""
    lines, figures = [], summary(scored)
    for title in ("found", "missed", "invented"):
        totals = [sum(scores[f"lesions_{title}_{region}"] for scores in scored.cases.values()) for region in SHOWN]
        titled = f"{title} lesions" if title == "found" else title
        lines.append(f"{titled:<13}" + "".join(f"{_cell(total, 0):>8}" for total in totals))
    means = [_cell(figures[f"lesion_dice_{region}"]["mean"], 3) for region in SHOWN]
    lines.append(f"{'lesion Dice':<13}" + "".join(f"{mean:>8}" for mean in means))
    iou, volume = scored.options["lesions"], scored.options["lesion_volume"]
    lines.append(
        f"lesions of more than {volume:g} mm³; found: an intersection over union of {iou:g} or more, one to one"
    )
    return lines


def _cell(value: float | int | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _record(scored: Scored) -> dict[str, Any]:
    return {
        "scores": summary(scored),
        "options": scored.options,
        "cases": scored.cases,
        "without_truth": list(scored.without_truth),
        "without_prediction": list(scored.without_prediction),
        "inputs": scored.inputs,
        "version": __version__,
        "note": DISCLAIMER,
    }
