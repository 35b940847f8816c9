"""Make the data list of a data set: find its cases, check them, divide them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from pkdr_monai.data.cases import exclude_cases, find_cases
from pkdr_monai.data.checks import Progress, check_cases
from pkdr_monai.data.entries import data_list_hash, entry_of
from pkdr_monai.data.problems import refuse_errors
from pkdr_monai.data.splits import FRACTIONS, SECTIONS, read_split, split_cases

__all__ = ["make_data_list"]


def make_data_list(
    folder: str | Path,
    seed: int = 0,
    split: str | Path | None = None,
    exclude: Collection[str] = (),
    fractions: Sequence[float] = FRACTIONS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find the cases of a data set, check each, and divide them into training, validation and test.

    Warnings of the check are logged.

    Args:
        folder: the data set's folder, as downloaded; see :func:`pkdr_monai.data.cases.find_cases`.
        seed: chooses the division.
        split: a file with a division to use instead; cases that it does not name are left out.
        exclude: names of cases to leave out.
        fractions: parts of training, validation and test cases.
        progress: called after each case is checked with the number done and the total.

    Returns:
        The data list, plain data for a JSON file: ``"name"``, ``"label_scheme"``, ``"seed"`` (``None`` with a
        ``split``), entries of ``"training"``, ``"validation"`` and ``"test"`` with paths relative to ``folder``, and
        the ``"hash"`` of all but the name.

    Raises:
        InputError: when there is no case, a name is unknown, or the check finds an error; the message is then the
            table of all that it found.
    """
    folder = Path(folder)
    cohort = find_cases(folder)
    cases = {case.name: case for case in exclude_cases(cohort.cases, exclude)}
    if split is None:
        sections = split_cases(list(cases.values()), seed, fractions)
    else:
        sections = read_split(split, cases, exclude)
    used = [cases[name] for section in SECTIONS for name in sections[section]]
    refuse_errors(check_cases(used, folder, cohort.label_scheme, progress=progress), folder)
    data_list: dict[str, Any] = {
        "name": folder.absolute().name,
        "label_scheme": cohort.label_scheme,
        "seed": seed if split is None else None,
    }
    data_list |= {section: [entry_of(cases[name], folder) for name in sections[section]] for section in SECTIONS}
    return data_list | {"hash": data_list_hash(data_list)}
