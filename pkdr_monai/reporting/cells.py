"""Tables that sort in a page: a cell shows one thing and sorts by another."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ABSENT", "Cell", "Table", "number", "number_cell"]

ABSENT = "\N{EN DASH}"
"""Stands where there is no value."""


@dataclass(frozen=True)
class Cell:
    """A cell: what it shows, what it sorts by (nothing: last), and which part of the page it leads to."""

    text: str
    value: str
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is the row's name."""

    headings: list[str]
    rows: list[list[Cell]]


def number(value: float | None, decimals: int = 3) -> str:
    """Write a number, or a dash where there is none.

    Example:
        >>> number(1234.56, 1), number(float("inf")), number(float("nan")) == ABSENT
        ('1,234.6', '∞', True)
    """
    if value is None or math.isnan(value):
        return ABSENT
    return "∞" if math.isinf(value) else f"{value:,.{decimals}f}"


def number_cell(value: float | None, decimals: int = 3) -> Cell:
    """Return the cell of a number; it sorts by all of its digits.

    Example:
        >>> number_cell(1234.56, 1), number_cell(None).value
        (Cell(text='1,234.6', value='1234.56', link=''), '')
    """
    if value is None or math.isnan(value):
        return Cell(number(value), "")
    return Cell(number(value, decimals), "Infinity" if math.isinf(value) else repr(float(value)))
