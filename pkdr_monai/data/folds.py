"""Divide the cases of a small cohort into folds for cross-validation, so that each case is tested once."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from pkdr_monai.data.cases import Case
from pkdr_monai.data.splits import group_scans, spread_grades
from pkdr_monai.errors import InputError

__all__ = ["VALIDATION_FRACTION", "fold_file", "split_folds"]

VALIDATION_FRACTION = 1 / 6
"""Part of all patients that validates in each fold where no number is given: 4 of 24."""


def split_folds(
    cases: Sequence[Case],
    folds: int,
    seed: int = 0,
    validation: int | None = None,
    patients: Mapping[str, str] | None = None,
) -> list[dict[str, list[str]]]:
    """Divide cases into folds: each case is a test case of exactly one, and trains or validates in the others.

    All scans of one patient stay together, and where every case has a grade, test and validation cases of each fold
    hold about as many high-grade cases, relative to their number, as the whole. The division depends on the names and
    the seed alone.

    Args:
        cases: what to divide.
        folds: how many folds, 2 or more.
        seed: chooses the division.
        validation: patients of each fold that choose the epoch; by default one sixth of all, at least one.
        patients: the patient of each case; by default those that the names tell.

    Returns:
        For each fold the names of the ``"training"``, ``"validation"`` and ``"test"`` cases, each list sorted.

    Raises:
        InputError: when there are fewer patients than folds, or none is left to train on.

    Example:
        >>> cases = [Case(f"case{number}", {}) for number in range(24)]
        >>> [[len(names) for names in fold.values()] for fold in split_folds(cases, 3)]
        [[12, 4, 8], [12, 4, 8], [12, 4, 8]]
    """
    scans = group_scans(cases, patients)
    grades = {patient: found[0].grade for patient, found in scans.items()}
    if validation is None:
        validation = max(1, round(len(grades) * VALIDATION_FRACTION))
    _check(len(grades), folds, validation)
    order = spread_grades(grades, seed)
    ends = [round(fold * len(order) / folds) for fold in range(folds + 1)]
    divided = []
    for start, end in itertools.pairwise(ends):
        rest = [*order[end:], *order[:start]]  # in the order of a circle, every stretch of which has all grades
        parts = {"training": rest[validation:], "validation": rest[:validation], "test": order[start:end]}
        divided.append(
            {
                section: sorted(case.name for patient in members for case in scans[patient])
                for section, members in parts.items()
            }
        )
    return divided


def fold_file(data_list_file: str | Path, fold: int) -> Path:
    """Return the data list of one fold, which lies beside that of the whole.

    Example:
        >>> fold_file("lists/brats2018.json", 1).as_posix()
        'lists/brats2018_fold1.json'
    """
    path = Path(data_list_file)
    return path.with_name(f"{path.stem}_fold{fold}{path.suffix}")


def _check(patients: int, folds: int, validation: int) -> None:
    if folds < 2 or folds > patients:
        raise InputError(f"expected 2 folds or more, and no more than the {patients} patients, got {folds}.")
    rest = patients - -(-patients // folds)
    if not 1 <= validation < rest:
        raise InputError(
            f"expected from 1 to {rest - 1} validation patients, since {rest} of the {patients} patients are not for "
            f"testing in a fold, got {validation}."
        )
