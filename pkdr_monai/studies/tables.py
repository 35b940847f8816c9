"""The tables of the paper as data (rows, references, published values), and results written as Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json
from pkdr_monai.modalities import MODALITIES, SPELLING, parse_modalities
from pkdr_monai.studies.results import COLUMNS, ET_RULE, Scores
from pkdr_monai.studies.statistics import Comparison, detectable_difference
from pkdr_monai.studies.study_results import StudyResults

__all__ = [
    "ET_BY_RULE",
    "OTHERS",
    "TITLES",
    "Table",
    "comparison_table",
    "et_by_rule",
    "folded",
    "markdown_table",
    "modality_order",
    "modality_title",
    "p_value",
    "published_table",
    "read_tables",
    "scores_table",
    "without_empty_columns",
]

OTHERS = "others"  # the table of cells that belong to no other one


@dataclass(frozen=True)
class Table:
    """One table: the rows that stand in it, whether they were run or not.

    Args:
        name: such as ``"table1"``; also the folder of its cells.
        title: heading.
        rows: what each cell is called, in the order of the rows.
        teachers: the same for networks that see all four modalities, shown beside those that see fewer.
        references: the cells against which the others are tested.
        published: the paper's Dice in points, by cell, modality and column; the mean alone where the paper has no more.
        notes: what to know before reading it.
    """

    name: str
    title: str
    rows: Mapping[str, str]
    teachers: Mapping[str, str]
    references: tuple[str, ...]
    published: Mapping[str, Mapping[str, Mapping[str, float]]]
    notes: tuple[str, ...]

    @property
    def own(self) -> tuple[str, ...]:
        """The rows that belong here; those of another table are shown for orientation, and tested there."""
        if self.name == OTHERS:
            return tuple(cell for cell in self.rows if cell not in self.references)
        return tuple(cell for cell in self.rows if cell.split("/")[0] == self.name)

    def modalities(self, scores: Mapping[tuple[str, str], Scores]) -> tuple[str, ...]:
        """Return the choices of modalities to show, single ones first: those for which this table has a result.

        Where the first reference alone was run, perhaps for another table, there is nothing to compare: such a choice
        counts only when there is no other. So do the teachers' own results.
        """
        own, teachers = set(self.own), set(self.teachers)
        for cells in (own - set(self.references[:1]), own, teachers):
            found = {modality for cell, modality in scores if cell in cells}
            if found:
                return tuple(sorted(found, key=modality_order))
        return ()


def read_tables(path: str | Path, cells: Iterable[str] = ()) -> dict[str, Table]:
    """Read the tables, and give a row to every cell that has a result but is in none of them.

    Such a cell stands at the end of the table whose name its folder has, otherwise in the table ``"others"``, under the
    name of its file, or under its whole name where that one is taken.

    Args:
        path: ``experiments/tables.json``.
        cells: those that have results.

    Raises:
        InputError: when the file is absent or not as described in :class:`Table`.
    """
    record = read_json(path)
    if not isinstance(record, dict):
        raise InputError(f"{path}: expected an object of tables, got {type(record).__name__}. Repair it.")
    tables = {name: _table(Path(path), name, content) for name, content in record.items()}
    tables.setdefault(OTHERS, Table(OTHERS, "Other experiments", {}, {}, (), {}, ()))
    known = {cell for table in tables.values() for cell in (*table.rows, *table.teachers)}
    for cell in sorted(set(cells) - known):
        folder, _, stem = cell.rpartition("/")
        table = tables.get(folder, tables[OTHERS])
        label = cell if stem in {**table.rows, **table.teachers}.values() else stem
        tables[table.name] = replace(table, rows={**table.rows, cell: label})
    return tables


def modality_title(modality: str) -> str:
    """Return what a choice of modalities is called in a heading; commas divide choices that are averaged.

    Example:
        >>> modality_title("t1ce+flair"), modality_title("t1ce,flair"), modality_title("all")
        ('T1ce + FLAIR', 'T1ce, FLAIR', 'all four modalities')
    """
    if modality == "all":
        return "all four modalities"
    choices = [[SPELLING[name] for name in choice.split("+")] for choice in modality.split(",")]
    return ", ".join(" + ".join(names) for names in choices)


def modality_order(modality: str) -> tuple[int, tuple[int, ...]]:
    """Return a key that sorts choices of modalities: single ones first, in the project's order, all four last."""
    chosen = parse_modalities(modality)
    return len(chosen), tuple(MODALITIES.index(name) for name in chosen)


def _table(path: Path, name: str, content: Any) -> Table:
    kinds = {"title": str, "rows": dict, "teachers": dict, "references": list, "published": dict, "notes": list}
    for key, kind in kinds.items():
        value = content.get(key) if isinstance(content, dict) else None
        if not isinstance(value, kind):
            raise InputError(f"{path}: {name}: expected {key} to be {kind.__name__}, got {value!r}. Repair it.")
    table = Table(name, **{**content, "references": tuple(content["references"]), "notes": tuple(content["notes"])})
    labelled = {*table.rows, *table.teachers}
    for cell in (*table.references, *table.published):
        if cell not in labelled:
            raise InputError(f"{path}: {name}: {cell} is neither in rows nor in teachers. Give it a label there.")
    for cell, by_modality in table.published.items():
        for modality, figures in by_modality.items():
            if not set(figures) <= set(COLUMNS):
                raise InputError(f"{path}: {name}: {cell} on {modality}: expected columns among {', '.join(COLUMNS)}.")
    return table


ENOUGH_SEEDS = 3
NOTHING = "-"
TITLES = tuple(name.upper() if name != "mean" else name for name in COLUMNS)
"""The columns of :data:`~pkdr_monai.studies.results.COLUMNS` as a heading has them."""
ET_BY_RULE = f"ET, {ET_RULE:g} mm³ rule"
NOT_RUN = "not run"
OPTIONAL = 7  # columns before it stay though they are empty


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


def without_empty_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Leave out the optional columns, those after HD95, that have no content in any row.

    Example:
        >>> without_empty_columns([*"abcdefg", "step"], [["1"] * 7 + ["-"]])[0]
        ['a', 'b', 'c', 'd', 'e', 'f', 'g']
    """
    kept = [place for place in range(len(header)) if place < OPTIONAL or any(row[place] != NOTHING for row in rows)]
    return [header[place] for place in kept], [[row[place] for place in kept] for row in rows]


def folded(summary: str, text: str) -> str:
    """Return a text that a reader unfolds by its summary."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>"


def scores_table(table: Table, modality: str, study: StudyResults) -> str:
    """Return Dice, distance and cost of every row for one choice of modalities, the teachers last.

    Columns without any content, such as the cost where it was not measured, are left out.
    """
    header = ["method", "seeds", *TITLES]
    header += ["HD95 in mm, mean (median)", ET_BY_RULE, "step", "memory", "published, BraTS 2018"]
    rows = [_row(table, cell, label, modality, study) for cell, label in table.rows.items()]
    if modality != "all":
        title = modality_title("all")
        rows += [_row(table, cell, f"{label} ({title})", "all", study) for cell, label in table.teachers.items()]
    else:
        rows += [_row(table, cell, label, "all", study) for cell, label in table.teachers.items()]
    return markdown_table(*without_empty_columns(header, rows))


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
                p_value(test.p),
                p_value(comparison.corrected_p),
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


def _row(table: Table, cell: str, label: str, modality: str, study: StudyResults) -> list[str]:
    scores = study.scores.get((cell, modality))
    cost = study.cost.get(cell)
    published = table.published.get(cell, {}).get(modality, {}).get("mean")
    ratios = [f"{cost[name]:.2f}" if cost else NOTHING for name in ("step", "memory")]
    tail = [*ratios, NOTHING if published is None else f"{published / 100:.4f}"]
    if scores is None:
        return [label, NOT_RUN, *[NOTHING] * (len(COLUMNS) + 2), *tail]
    distances = scores.case_distances
    return [
        label,
        _seeds(scores, study.cases[study.scored] if study.folds else 0),
        *_dice(scores),
        f"{distances.mean():.1f} ({np.median(distances):.1f})",
        et_by_rule(scores),
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


def et_by_rule(scores: Scores) -> str:
    """Return mean Dice of ET after the ET rule, or a dash where it was not scored."""
    return NOTHING if scores.ruled is None else f"{scores.ruled.mean():.3f}"


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


def p_value(value: float) -> str:
    """Return a p-value to three decimals."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _figures(figures: Mapping[str, float]) -> str:
    return " / ".join(f"{figures[column]:.2f}" for column in COLUMNS if column in figures) or NOTHING
