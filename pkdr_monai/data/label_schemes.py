"""Which scheme the labels of a cohort follow: from names and values together, or given by the user."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pkdr_monai.data.cases import Case, Cohort
from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.data.problems import Problem
from pkdr_monai.errors import InputError
from pkdr_monai.regions import TISSUES, meaning_of, scheme_labels, schemes_with, whole_labels

__all__ = ["cohort_label_problems", "label_values", "with_label_scheme"]

PAEDIATRIC = re.compile(r"(?<![a-z])peds?(?![a-z])|pa?ediatric", re.IGNORECASE)
GLIOMA = re.compile(r"(?<![a-z])gli(?![a-z])|post-?treatment", re.IGNORECASE)
YEAR = re.compile(r"(?:brats|peds?|gli)[-_ ]?(?:20)?(2[345])(?!\d)", re.IGNORECASE)  # BraTS2023-PED, BraTS-PEDs2024

MASKS = 0.5  # part of the labels that may hold the first value alone before that is doubtful


def with_label_scheme(cohort: Cohort, label_scheme: str | None = None) -> Cohort:
    """Return a cohort with the scheme that its labels follow.

    Since 2023, files of children, of gliomas before and of gliomas after treatment bear the same endings, and their
    labels mean different things: 3 is enhancing tumour in one and a cyst in another. For those files, the values of all
    labels are read, and the names of folders and cases have to agree with them.

    Args:
        cohort: as :func:`pkdr_monai.data.layouts.find_cases` returns it. The scheme that the data set describes stands;
            that of its files' endings is looked into.
        label_scheme: what the user says, which counts more than any name.

    Raises:
        InputError: when ``label_scheme`` is unknown, or names and values leave more than one scheme.
    """
    if label_scheme is not None:
        scheme_labels(label_scheme)
        return replace(cohort, label_scheme=label_scheme)
    labelled = [case for case in cohort.cases if case.label is not None]
    if not labelled or cohort.described:
        return cohort
    paediatric = [case for case in labelled if PAEDIATRIC.search(_names(case, cohort.folder))]
    if cohort.label_scheme == "brats2018" and not paediatric:
        return cohort  # endings and year agree; a check says where values do not
    found = frozenset().union(*(_values_of(case, cohort.folder) for case in labelled))
    return replace(cohort, label_scheme=_scheme(cohort, labelled, len(paediatric), found))


def label_values(label: np.ndarray) -> frozenset[int]:
    """Return the values of a label map that are not background.

    Example:
        >>> sorted(label_values(np.array([0, 2, 4, 4])))
        [2, 4]
    """
    return frozenset(np.unique(label[label != 0]).tolist())


def cohort_label_problems(found: Sequence[frozenset[int]], label_scheme: str) -> Iterator[Problem]:
    """Yield what no label shows by itself: masks of the whole tumour, or labels without oedema, in a whole cohort.

    Args:
        found: values of each label that is sound and not empty.
        label_scheme: the scheme by which they are read.
    """
    values = scheme_labels(label_scheme)
    masks = [each for each in found if each == {1}]
    if found and len(masks) > MASKS * len(found):
        what = f"{len(masks)} of {len(found)} labels hold 1 alone, which {label_scheme} reads as {_tissue(1, values)}"
        fix = "if these are masks of the whole tumour, take label maps of its tissues: TC and ET cannot be learnt"
        yield Problem("all cases", ".", what, fix, "warning")
    elif found and not any(values["ed"] in each for each in found):
        what = f"no label holds oedema, {values['ed']} in {label_scheme}"
        fix = "check that the labels follow this scheme; name another with --label_scheme"
        yield Problem("all cases", ".", what, fix, "warning")


def _tissue(value: int, values: dict[str, int]) -> str:
    return next(TISSUES[tissue] for tissue, number in values.items() if number == value)


def _names(case: Case, folder: Path) -> str:
    """Return what may say which challenge a case is from: its name, its files, and the data set's folder."""
    return "/".join([folder.absolute().name, case.name, *map(str, case.files.values())])


def _values_of(case: Case, folder: Path) -> frozenset[int]:
    """Return the values of a label: an empty set if the file is broken; the checks report that."""
    try:
        read_header(folder / str(case.label), case.geometry)
        return label_values(whole_labels(read_voxels(folder / str(case.label))))
    except (UnreadableError, InputError):
        return frozenset()


def _scheme(cohort: Cohort, labelled: Sequence[Case], paediatric: int, found: frozenset[int]) -> str:
    """Choose the one scheme that the names and the values of labels allow.

    Raises:
        InputError: when there is more than one.
    """
    names = [_names(case, cohort.folder) for case in labelled]
    years = {int(year) for name in names for year in YEAR.findall(name)}
    gliomas = sum(GLIOMA.search(name) is not None for name in names)
    if not found <= {1, 2, 3, 4}:
        return cohort.label_scheme  # foreign to all: a check names the case
    if paediatric and cohort.label_scheme == "brats2023":
        if paediatric < len(labelled):
            raise _undecided(cohort, found, "only some of its cases are named as children's (PED)")
        if years == {23} and 4 not in found:
            return "brats2023"
        if 23 not in years and (4 in found or years):
            return "brats2024_ped"
        raise _undecided(cohort, found, "its names say children (PED)")
    if paediatric:
        raise _undecided(cohort, found, "its names say children (PED), and their endings are those before 2023")
    post_treatment = gliomas == len(labelled) and 23 not in years
    if (post_treatment and years) or (post_treatment and {3, 4} <= found):
        return "brats2024_gli"
    if 4 in found:
        raise _undecided(cohort, found, "its names do not say which challenge it is from")
    return "brats2023"


def _undecided(cohort: Cohort, found: frozenset[int], names: str) -> InputError:
    values = sorted(found)
    possible = [scheme for scheme in schemes_with(found) if scheme != "msd"]  # which has a layout of its own
    meanings = "; ".join(f"in {scheme}, {meaning_of(values, scheme)}" for scheme in possible)
    shown = ", ".join(map(str, values))
    return InputError(
        f"which scheme the labels of {cohort.folder} follow cannot be determined: they hold {shown}, and {names}. "
        f"{meanings[:1].upper()}{meanings[1:]}. Say which with --label_scheme, as the data set's documents do."
    )
