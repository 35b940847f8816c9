"""Divide the cases of a cohort into training, validation and test: seeded, stratified by grade, or as a file says."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from pkdr_monai.data.cases import Case
from pkdr_monai.data.patients import patient_of, shared_stems
from pkdr_monai.errors import InputError, some
from pkdr_monai.files import read_json

__all__ = [
    "FRACTIONS",
    "SECTIONS",
    "VALIDATION_FRACTION",
    "add_to_training",
    "fold_file",
    "group_scans",
    "read_split",
    "scattered_patients",
    "split_cases",
    "split_folds",
    "spread_grades",
]

SECTIONS = ("training", "validation", "test")
FRACTIONS = (0.7, 0.1, 0.2)
"""The paper's parts of training, validation and test cases."""

SECTION_NAMES = {"train": "training", "val": "validation", **{section: section for section in SECTIONS}}

logger = logging.getLogger(__name__)


def split_cases(
    cases: Sequence[Case],
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    patients: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Divide cases at random, the same way for the same seed, whatever order they come in.

    Where every case has a grade, each part holds about as many high-grade cases, relative to its size, as the whole.
    All scans of one patient go into one part: as ``patients`` says, or by the conventions that
    :func:`pkdr_monai.data.patients.patient_of` knows. Names that look like scans of one patient but follow none of
    these are logged as a warning. With three patients or more, no part whose fraction is above 0 is empty.

    Args:
        cases: what to divide.
        seed: chooses the split.
        fractions: parts of training, validation and test patients; they sum to 1.
        patients: the patient of each case.

    Returns:
        Names of the cases for ``"training"``, ``"validation"`` and ``"test"``, each list sorted.

    Raises:
        InputError: when ``fractions`` are not three numbers of 0 or more, the first above 0, that sum to 1.

    Example:
        >>> cases = [Case(f"case{number}", {}) for number in range(10)]
        >>> {section: len(names) for section, names in split_cases(cases).items()}
        {'training': 7, 'validation': 1, 'test': 2}
    """
    if len(fractions) != 3 or min(fractions) < 0 or not fractions[0] or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"split fractions are {tuple(fractions)}: expected three for training, validation and test that sum to 1, "
            "0 or more and the first above 0."
        )
    scans = group_scans(cases, patients)
    spread = spread_grades({patient: found[0].grade for patient, found in scans.items()}, seed)
    sections = {}
    start = 0
    for section, count in zip(SECTIONS, _counts(len(spread), fractions), strict=True):
        chosen = spread[start : start + count]
        sections[section] = sorted(case.name for patient in chosen for case in scans[patient])
        start += count
    return sections


def read_split(path: str | Path, known: Collection[str], excluded: Collection[str] = ()) -> dict[str, list[str]]:
    """Read a split that somebody else made: ``{"train": [names], "val": [names], "test": [names]}``.

    The keys may be ``training`` and ``validation`` too, and ``test`` may be absent.

    Args:
        path: a JSON file.
        known: names of the cases that there are.
        excluded: names of cases to leave out.

    Raises:
        InputError: when the file is none such, names a case that is not known, or names one twice.
    """
    content = read_json(path)
    unknown = [key for key in content if key not in SECTION_NAMES] if isinstance(content, dict) else ["no object"]
    lists = [] if unknown else list(content.values())
    if unknown or not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise InputError(f'{path}: expected {{"train": [names], "val": [names], "test": [names]}} and nothing else.')
    sections: dict[str, list[str]] = {section: [] for section in SECTIONS}
    for key, names in content.items():
        sections[SECTION_NAMES[key]] += [name for name in names if name not in excluded]
    counts = Counter(name for names in sections.values() for name in names)
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        raise InputError(f"{path} names {some(repeated, 5)} more than once: a case belongs to one part, once.")
    absent = sorted(name for name in counts if name not in known)
    if absent:
        raise InputError(
            f"{path} names {some(absent, 5)}, which the data set does not hold. Is it the split of another data set?"
        )
    return {section: sorted(names) for section, names in sections.items()}


def add_to_training(
    sections: Mapping[str, Sequence[str]], cases: Sequence[Case], patients: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Add cases that may train but not be scored, such as those that lack a modality, to a split of the others.

    A case whose patient validates or tests with another scan is left out, with a warning.

    Args:
        sections: names of the other cases by part.
        cases: what to add.
        patients: the patient of each case; by default those that the names give.

    Example:
        >>> divided = {"training": ["a-01"], "validation": [], "test": ["b-01"]}
        >>> add_to_training(divided, [Case("c-01", {})])["training"]
        ['a-01', 'c-01']
    """

    def patient(name: str) -> str:
        return patient_of(name) if patients is None else patients[name]

    scored = {patient(name) for section in ("validation", "test") for name in sections[section]}
    left_out = sorted(case.name for case in cases if patient(case.name) in scored)
    if left_out:
        logger.warning("%s: left out, since other scans of these patients validate or test.", some(left_out, 5))
    added = [case.name for case in cases if case.name not in left_out]
    return {
        **{section: list(names) for section, names in sections.items()},
        "training": sorted([*sections["training"], *added]),
    }


def group_scans(cases: Sequence[Case], patients: Mapping[str, str] | None = None) -> dict[str, list[Case]]:
    """Return the cases of each patient, and warn of names that look shared where nothing says whose they are.

    Args:
        cases: all cases.
        patients: the patient of each case; by default those that the names give.
    """
    scans = defaultdict(list)
    for case in cases:
        scans[patient_of(case.name) if patients is None else patients[case.name]].append(case)
    if patients is None:
        _warn_of_shared_stems([case.name for case in cases])
    return scans


def scattered_patients(sections: Mapping[str, Sequence[str]], patients: Mapping[str, str] | None = None) -> list[str]:
    """Return the patients who have scans in more than one part.

    Args:
        sections: names of cases by part.
        patients: the patient of each case; by default those that the names give.
    """
    parts = defaultdict(set)
    for section, names in sections.items():
        for name in names:
            parts[patient_of(name) if patients is None else patients[name]].add(section)
    return sorted(patient for patient, found in parts.items() if len(found) > 1)


def _warn_of_shared_stems(names: Sequence[str]) -> None:
    groups = shared_stems(names)
    if groups:
        examples = "; ".join(", ".join(group[:3]) for group in groups[:3])
        logger.warning(
            "%d groups of cases look like scans of one patient each (%s), but follow no known convention, so each case "
            "is divided on its own and a patient may be in training and test: say whose they are with --patients FILE.",
            len(groups),
            examples,
        )


def spread_grades(grades: dict[str, str | None], seed: int) -> list[str]:
    """Shuffle patients so that every stretch of the list holds the grades in about the proportion of the whole.

    The order of two patients depends on their names and the seed alone. Within a grade of n patients, the k-th lies at
    (k + 1/2) / n of the list.
    """

    def chance(patient: str) -> str:
        return hashlib.sha256(f"{seed}:{patient}".encode(errors="backslashreplace")).hexdigest()

    strata = defaultdict(list)
    for patient in sorted(grades, key=chance):
        strata[grades[patient] if all(grades.values()) else None].append(patient)
    place = {
        patient: (rank + 0.5) / len(stratum) for stratum in strata.values() for rank, patient in enumerate(stratum)
    }
    return sorted(place, key=lambda patient: (place[patient], chance(patient)))


def _counts(total: int, fractions: Sequence[float]) -> list[int]:
    """Round ``total`` times each fraction so that the sum is right and no part is empty that need not be."""
    exact = [round(total * fraction, 6) for fraction in fractions]
    counts = [int(count) for count in exact]
    by_remainder = sorted(range(3), key=lambda part: round(counts[part] - exact[part], 6))
    for part in by_remainder[: total - sum(counts)]:
        counts[part] += 1
    for part in range(3):
        largest = counts.index(max(counts))
        if fractions[part] and not counts[part] and counts[largest] > 1:
            counts[part] += 1
            counts[largest] -= 1
    return counts


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
    hold about as many high-grade cases, relative to their number, as the whole. The split depends on the names and
    the seed alone.

    Args:
        cases: what to divide.
        folds: how many folds, 2 or more.
        seed: chooses the split.
        validation: patients of each fold that choose the epoch; by default one sixth of all, at least one.
        patients: the patient of each case; by default those that the names give.

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
