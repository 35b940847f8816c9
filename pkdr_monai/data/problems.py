"""What is wrong with a data set, as rows of one table: where, what, and what to do about it."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pkdr_monai.errors import InputError

__all__ = ["Problem", "UnreadableError", "errors_among", "problems_table", "refuse_errors"]

logger = logging.getLogger(__name__)

HEADINGS = ("severity", "case", "where", "what is wrong", "what to do")
LIMITS = (8, 26, 34)  # widest that the first three columns get; the last two share the rest
GAP = "  "
SHOWN = 50  # in a message; `pkdr data check` shows all


class UnreadableError(Exception):
    """A file that cannot be read.

    Args:
        what: what is wrong with it.
        fix: what to do about it.
    """

    def __init__(self, what: str, fix: str = "copy or download it again") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def of(self, name: str | Path) -> InputError:
        """Return the error for the person who named the file."""
        return InputError(f"{name} cannot be read: {self.what}; {self.fix}.")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one case.

    Args:
        case: name of the case.
        where: file or folder, relative to the data set's folder.
        what: what is wrong, with the numbers that say so.
        fix: what to do about it.
        severity: ``"error"`` where training would fail or learn nonsense, ``"warning"`` where a person should look.
    """

    case: str
    where: str
    what: str
    fix: str
    severity: Literal["error", "warning"] = "error"


def errors_among(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems that prevent training."""
    return [problem for problem in problems if problem.severity == "error"]


def problems_table(problems: Iterable[Problem], width: int = 140, limit: int | None = None) -> str:
    """Lay problems out as a plain text table, errors first, in the order of the cases' names.

    Args:
        problems: what to show.
        width: width of the table in characters; longer texts continue in the next line of their column.
        limit: how many problems to show at most; a last line counts the others.

    Example:
        >>> print(problems_table([Problem("a", "a/a_t1.nii", "has 2 NaN", "write it again")], width=80))
        severity  case  where       what is wrong              what to do
        error     a     a/a_t1.nii  has 2 NaN                  write it again
    """
    ordered = sorted(problems, key=lambda problem: (problem.severity != "error", problem.case))
    shown = ordered[:limit]
    rows = [HEADINGS, *((row.severity, row.case, row.where, row.what, row.fix) for row in shown)]
    widths = [min(limit, max(len(row[column]) for row in rows)) for column, limit in enumerate(LIMITS)]
    share = max(24, (width - sum(widths) - len(GAP) * len(widths) - len(GAP)) // 2)
    lines = [line for row in rows for line in _lines(row, (*widths, share, share))]
    if len(shown) < len(ordered):
        lines.append(f"... and {len(ordered) - len(shown)} more")
    return "\n".join(lines)


def refuse_errors(problems: Iterable[Problem], folder: Path) -> None:
    """Log the problems of a data set as warnings, unless there are errors among them.

    Args:
        problems: what a check found.
        folder: the data set's folder, for the message.

    Raises:
        InputError: when one of the problems is an error; the message is the table of all problems.
    """
    problems = list(problems)
    errors = errors_among(problems)
    if errors:
        names = ",".join(sorted({problem.case for problem in errors}))
        raise InputError(
            f"{len(errors)} errors in {folder}:\n{problems_table(problems, limit=SHOWN)}\n"
            f"Repair the files, or leave the cases out of the data list: --exclude {names}"
        )
    if problems:
        logger.warning("%d warnings in %s:\n%s", len(problems), folder, problems_table(problems, limit=SHOWN))


def _lines(row: tuple[str, ...], widths: tuple[int, ...]) -> list[str]:
    """Wrap the cells of one row into their columns."""
    cells = [_wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(len(cell) for cell in cells)
    columns = [cell + [""] * (height - len(cell)) for cell in cells]
    return [
        GAP.join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip()
        for parts in zip(*columns, strict=True)
    ]


def _wrap(text: str, width: int) -> list[str]:
    """Wrap a text at its spaces, and a path, which has none, between its folders."""
    if " " in text or len(text) <= width:
        return textwrap.wrap(text, width) or [""]
    return [line.replace("/ ", "/") for line in textwrap.wrap(text.replace("/", "/ "), width)]
