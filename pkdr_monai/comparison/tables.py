"""The tables of the paper as data: their rows, what they are tested against, and what was published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pkdr_monai.comparison.scores import COLUMNS, Scores
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json
from pkdr_monai.modalities import MODALITIES, parse_modalities

__all__ = ["OTHERS", "Table", "modality_title", "read_tables"]

OTHERS = "others"  # the table of cells that belong to no other one

SPELLING = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}


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
                return tuple(sorted(found, key=_order))
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
    """Return what a choice of modalities is called in a heading.

    Example:
        >>> modality_title("t1ce+flair"), modality_title("all")
        ('T1ce + FLAIR', 'all four modalities')
    """
    return "all four modalities" if modality == "all" else " + ".join(SPELLING[name] for name in modality.split("+"))


def _order(modality: str) -> tuple[int, tuple[int, ...]]:
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
