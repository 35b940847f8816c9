"""The tables of a study as Markdown that is also readable on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pkdr_monai.comparison.scores import COLUMNS, Scores
from pkdr_monai.comparison.statistics import Comparison, detectable_difference
from pkdr_monai.comparison.study import Study
from pkdr_monai.comparison.tables import Table, modality_title

__all__ = ["comparison_table", "folded", "markdown_table", "published_table", "scores_table"]

ENOUGH_SEEDS = 3
NOTHING = "-"
NOT_RUN = "not run"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay a table out with columns of even width; the first one is for names, the others are aligned to the right.

    Example:
        >>> print(markdown_table(["method", "WT"], [["PKDR", "0.812"]]))
        | method |    WT |
        |--------|------:|
        | PKDR   | 0.812 |
    """
    widths = [max(3, *(len(row[column]) for row in (header, *rows))) for column in range(len(header))]
    rule = "|".join("-" * (width + 2) if not column else "-" * (width + 1) + ":" for column, width in enumerate(widths))
    lines = [_line(row, widths) for row in (header, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def folded(summary: str, text: str) -> str:
    """Return a text that a reader unfolds by its summary."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def scores_table(table: Table, modality: str, study: Study) -> str:
    """Return Dice, distance and cost of every row for one choice of modalities, the teachers last.

    Columns without any content, such as the cost where it was not measured, are left out.
    """
    header = ["method", "seeds", *(name.upper() if name != "mean" else name for name in COLUMNS)]
    header += ["HD95 in mm, mean (median)", "step", "memory", "published, BraTS 2018"]
    rows = [_row(table, cell, label, modality, study) for cell, label in table.rows.items()]
    if modality != "all":
        title = modality_title("all")
        rows += [_row(table, cell, f"{label} ({title})", "all", study) for cell, label in table.teachers.items()]
    else:
        rows += [_row(table, cell, label, "all", study) for cell, label in table.teachers.items()]
    kept = [column for column in range(len(header)) if column < 7 or any(row[column] != NOTHING for row in rows)]
    return markdown_table([header[column] for column in kept], [[row[column] for column in kept] for row in rows])


def comparison_table(comparisons: Sequence[Comparison], labels: Mapping[str, str]) -> str:
    """Return one row for each test: how far ahead, in points (100 times Dice), and how sure."""
    header = ["method", "sees", "region", "difference", "95 % interval", "p", "p, Holm", "ahead in", "verdict"]
    header += ["n", "80 % power from"]
    rows = []
    for comparison in comparisons:
        test = comparison.test
        known = not math.isnan(test.low)
        rows.append(
            [
                labels[comparison.cell],
                modality_title(comparison.modality),
                _region(comparison.column),
                _points(test.difference),
                f"{_points(test.low)} to {_points(test.high)}" if known else NOTHING,
                _p(test.p),
                _p(comparison.corrected_p),
                _ahead(comparison),
                comparison.verdict,
                str(comparison.cases),
                _detectable(comparison),
            ]
        )
    return markdown_table(header, rows)


def published_table(table: Table) -> str:
    """Return the paper's Dice in points, WT / TC / ET / mean, or the mean where it has no more."""
    modalities = list(dict.fromkeys(name for by_modality in table.published.values() for name in by_modality))
    labels = {**table.rows, **table.teachers}
    rows = [
        [label, *(_figures(table.published[cell].get(modality, {})) for modality in modalities)]
        for cell, label in labels.items()
        if cell in table.published
    ]
    return markdown_table(["method", *map(modality_title, modalities)], rows)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def _row(table: Table, cell: str, label: str, modality: str, study: Study) -> list[str]:
    scores = study.scores.get((cell, modality))
    cost = study.cost.get(cell)
    published = table.published.get(cell, {}).get(modality, {}).get("mean")
    ratios = [f"{cost[name]:.2f}" if cost else NOTHING for name in ("step", "memory")]
    tail = [*ratios, NOTHING if published is None else f"{published / 100:.4f}"]
    if scores is None:
        return [label, NOT_RUN, *[NOTHING] * (len(COLUMNS) + 1), *tail]
    distances = scores.case_distances
    return [
        label,
        _seeds(scores, study.cases[study.scored] if study.folds else 0),
        *_dice(scores),
        f"{distances.mean():.1f} ({np.median(distances):.1f})",
        *tail,
    ]


def _seeds(scores: Scores, cases: int) -> str:
    count = len(scores.seeds)
    few = "" if count >= ENOUGH_SEEDS else ", too few"
    some = f"; {len(scores.cases)} of {cases} cases" if len(scores.cases) < cases else ""
    return f"{count}{few}{some}"


def _dice(scores: Scores) -> list[str]:
    if scores.spread is None:
        return [f"{value:.3f}" for value in scores.mean]
    return [f"{value:.3f} ± {spread:.3f}" for value, spread in zip(scores.mean, scores.spread, strict=True)]


def _ahead(comparison: Comparison) -> str:
    parts = [f"{comparison.ahead} of {comparison.seeds} seeds"] if comparison.seeds else []
    parts += [f"{comparison.folds_ahead} of {comparison.folds} folds"] if comparison.folds else []
    return ", ".join(parts) or NOTHING


def _detectable(comparison: Comparison) -> str:
    difference = detectable_difference(comparison.test.spread, comparison.cases)
    return NOTHING if math.isnan(difference) else f"{100 * difference:.2f}"


def _region(column: str) -> str:
    return column if column == "mean" else column.upper()


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _figures(figures: Mapping[str, float]) -> str:
    return " / ".join(f"{figures[column]:.2f}" for column in COLUMNS if column in figures) or NOTHING
