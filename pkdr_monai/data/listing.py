"""Make the data list of a data set, or one for each fold: find its cases, check them, divide them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pkdr_monai.data.cases import Case, Cohort, exclude_cases, with_geometry
from pkdr_monai.data.checks import Progress, check_cases
from pkdr_monai.data.entries import data_list_hash, decathlon_keys, entry_of
from pkdr_monai.data.label_schemes import with_label_scheme
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.data.patients import read_patients
from pkdr_monai.data.problems import refuse_errors
from pkdr_monai.data.splits import (
    FRACTIONS,
    SECTIONS,
    add_to_training,
    read_split,
    scattered_patients,
    split_cases,
    split_folds,
)
from pkdr_monai.errors import InputError, some
from pkdr_monai.modalities import MODALITIES

__all__ = ["by_completeness", "make_data_list", "make_fold_lists", "refuse_absent"]

logger = logging.getLogger(__name__)


def make_data_list(
    folder: str | Path,
    seed: int = 0,
    split: str | Path | None = None,
    exclude: Collection[str] = (),
    fractions: Sequence[float] = FRACTIONS,
    progress: Progress | None = None,
    label_scheme: str | None = None,
    patients: str | Path | None = None,
    geometry: str = "header",
    force: bool = False,
    incomplete: bool = False,
    modalities: Sequence[str] = MODALITIES,
) -> dict[str, Any]:
    """Find the cases of a data set, check each, and divide them into training, validation and test.

    Warnings of the check are logged.

    Args:
        folder: the data set's folder, as downloaded; see :func:`pkdr_monai.data.layouts.find_cases`.
        seed: chooses the split.
        split: a file with a split to use instead; cases that it does not name are left out.
        exclude: names of cases to leave out.
        fractions: parts of training, validation and test cases.
        progress: called after each case is checked with the number done and the total.
        label_scheme: scheme of the labels, where names and values do not give it; one of
            :data:`pkdr_monai.regions.LABEL_SCHEMES`.
        patients: a table from case to patient; see :func:`pkdr_monai.data.patients.read_patients`. By default, the
            conventions of data sets say which cases are scans of one patient.
        geometry: which affine of the files' headers to use, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.
        force: take scans that do not look like a whole, skull-stripped brain.
        incomplete: take cases that lack some of the modalities too, as training cases: they serve a student for any
            subset. The others are divided as without them.
        modalities: what each case must have; the list names these alone, so that a cohort of one modality has one too.

    Returns:
        The data list, plain data for a JSON file that ``monai.data.load_decathlon_datalist`` reads too: ``"name"``,
        what :func:`~pkdr_monai.data.entries.decathlon_keys` gives, ``"label_scheme"``, ``"seed"`` (``None`` with a
        ``split``), ``"accept_scans"`` with ``force``, ``"incomplete"`` with ``incomplete``, entries of ``"training"``,
        ``"validation"`` and ``"test"`` with paths relative to ``folder``, and the ``"hash"`` of all but the name.

    Raises:
        InputError: when there is no case, a name is unknown, the label scheme cannot be determined, or the check finds
            an error; the message is then the table of all that it found.
    """
    cohort, cases = _cases(folder, exclude, geometry, modalities)
    owners = None if patients is None else read_patients(patients, cases)
    complete, lacking = by_completeness(cases, incomplete, modalities)
    if split is None:
        sections = add_to_training(split_cases(complete, seed, fractions, owners), lacking, owners)
    else:
        sections = read_split(split, cases, exclude)
        _refuse_scored(split, sections, lacking)
        scattered = scattered_patients(sections, owners)
        if scattered:
            logger.warning("%s puts scans of %s into more than one part.", split, some(scattered, 5))
    used = [cases[name] for section in SECTIONS for name in sections[section]]
    cohort = with_label_scheme(replace(cohort, cases=tuple(used)), label_scheme)
    scheme = cohort.label_scheme
    problems = check_cases(
        used, cohort.folder, scheme, modalities, progress=progress, force=force, incomplete=incomplete
    )
    refuse_errors(problems, cohort.folder)
    further = {"seed": seed if split is None else None, **_accepted(force, incomplete)}
    return _listed(cohort, cases, sections, further)


def make_fold_lists(
    folder: str | Path,
    folds: int,
    seed: int = 0,
    validation: int | None = None,
    exclude: Collection[str] = (),
    progress: Progress | None = None,
    label_scheme: str | None = None,
    patients: str | Path | None = None,
    geometry: str = "header",
    force: bool = False,
    incomplete: bool = False,
    modalities: Sequence[str] = MODALITIES,
) -> list[dict[str, Any]]:
    """Find the cases of a data set, check each, and divide them into folds: one data list for each.

    Args:
        folder: the data set's folder, as downloaded.
        folds: how many; each case is a test case of exactly one.
        seed: chooses the split.
        validation: patients of each fold that validate; see :func:`pkdr_monai.data.splits.split_folds`.
        exclude: names of cases to leave out.
        progress: called after each case is checked with the number done and the total.
        label_scheme: as for :func:`make_data_list`.
        patients: a table from case to patient, as for :func:`make_data_list`.
        geometry: as for :func:`make_data_list`.
        force: as for :func:`make_data_list`.
        incomplete: as for :func:`make_data_list`.
        modalities: as for :func:`make_data_list`.

    Returns:
        Data lists as :func:`make_data_list` returns them, with the number of their ``"fold"``, from 0, and of all
        ``"folds"`` beside the seed.

    Raises:
        InputError: as :func:`make_data_list`, and when the cases are too few for the folds.
    """
    cohort, cases = _cases(folder, exclude, geometry, modalities)
    used = list(cases.values())
    cohort = with_label_scheme(replace(cohort, cases=tuple(used)), label_scheme)
    owners = None if patients is None else read_patients(patients, cases)
    complete, lacking = by_completeness(cases, incomplete, modalities)
    divided = [
        add_to_training(fold, lacking, owners) for fold in split_folds(complete, folds, seed, validation, owners)
    ]
    scheme = cohort.label_scheme
    problems = check_cases(
        used, cohort.folder, scheme, modalities, progress=progress, force=force, incomplete=incomplete
    )
    refuse_errors(problems, cohort.folder)
    return [
        _listed(cohort, cases, sections, {"seed": seed, "fold": fold, "folds": folds, **_accepted(force, incomplete)})
        for fold, sections in enumerate(divided)
    ]


def _accepted(force: bool, incomplete: bool) -> dict[str, bool]:
    """Return what says, to the check before a training too, what a person has accepted."""
    return {key: True for key, value in (("accept_scans", force), ("incomplete", incomplete)) if value}


def refuse_absent(cases: Iterable[Case], modalities: Sequence[str]) -> None:
    """Refuse a cohort in which no case has one of the modalities, and say how it can be used.

    Args:
        cases: the cases.
        modalities: what each case is asked for.

    Raises:
        InputError: when one of them is absent everywhere, and another is not.
    """
    found = {modality for case in cases for modality in case.modalities}
    absent = [modality for modality in modalities if modality not in found]
    there = [modality for modality in modalities if modality in found]
    if absent and there:
        raise InputError(
            f"no case has {', '.join(absent)}. For networks of {', '.join(there)} alone, say so with "
            f"--modality {'+'.join(there)}."
        )


def by_completeness(
    cases: Mapping[str, Case], incomplete: bool, modalities: Sequence[str]
) -> tuple[list[Case], list[Case]]:
    """Return the cases to divide, and those that lack a modality and may only train.

    Args:
        cases: the cases by name.
        incomplete: whether a case may lack a modality.
        modalities: what each case is asked for.

    Raises:
        InputError: when no case has one of the modalities, or none has all of them.
    """
    refuse_absent(cases.values(), modalities)
    lacking = [case for case in cases.values() if incomplete and case.modalities and case.lacks(modalities)]
    complete = [case for case in cases.values() if case not in lacking]
    if not complete:
        raise InputError(
            f"all {len(lacking)} cases lack a modality: expected some with {', '.join(modalities)}, since a teacher "
            "learns from them and scores are taken on them."
        )
    return complete, lacking


def _refuse_scored(split: str | Path, sections: Mapping[str, Sequence[str]], lacking: Sequence[Case]) -> None:
    scored = {*sections["validation"], *sections["test"]}
    wrong = sorted(case.name for case in lacking if case.name in scored)
    if wrong:
        raise InputError(
            f"{split} puts {some(wrong, 5)} into validation or test, but they lack a modality: move them to training."
        )


def _cases(
    folder: str | Path, exclude: Collection[str], geometry: str, modalities: Sequence[str]
) -> tuple[Cohort, dict[str, Case]]:
    """Find the cases of a folder, by name, without the excluded ones; the paths are relative to the folder given."""
    cohort = find_cases(folder)
    used = [case.only(modalities) for case in exclude_cases(cohort.cases, exclude)]
    cases = {case.name: case for case in with_geometry(used, geometry)}
    return replace(cohort, folder=Path(folder)), cases


def _listed(
    cohort: Cohort, cases: Mapping[str, Case], sections: Mapping[str, Sequence[str]], further: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a split as a data list, one of the Decathlon's with further keys."""
    training, test = len(sections["training"]), len(sections["test"])
    data_list: dict[str, Any] = {
        "name": cohort.folder.absolute().name,
        **decathlon_keys(cohort.cases, cohort.label_scheme, training, test),
        "label_scheme": cohort.label_scheme,
        **further,
    }
    data_list |= {section: [entry_of(cases[name], cohort.folder) for name in sections[section]] for section in SECTIONS}
    return data_list | {"hash": data_list_hash(data_list)}
