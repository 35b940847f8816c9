"""Find the cases of a BraTS folder, 2018 to 2024, by the names of its files."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from pkdr_monai.data.cases import Case, nifti_files
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES, modality_of_suffix

__all__ = ["cases_of_files", "find_brats_cases", "label_scheme_of"]

NAME = re.compile(r"(?:(?P<case>.+)[-_])?(?P<suffix>[^-_]+)\.nii(\.gz)?", re.IGNORECASE)
LABEL_SUFFIXES = ("seg", "segm", "label")  # BraTS20_Training_355 has W39_1998.09.19_Segm.nii
GRADES = ("HGG", "LGG")
NAMES_2018 = ("t1", "t1ce", "t2", "flair")
NAMES_2023 = ("t1n", "t1c", "t2w", "t2f")

Files = dict[str, list[Path]]
"""Files by what they hold: a modality, or ``"label"``."""


def find_brats_cases(folder: Path, labels: bool = True) -> list[Case]:
    """Return the cases of a BraTS folder; their grades come from ``HGG/`` and ``LGG/`` or from ``name_mapping.csv``."""
    files = (path for path in nifti_files(folder) if labels or _parse(path)[1] != "label")
    return cases_of_files(files, folder, _mapped_grades(folder))


def cases_of_files(files: Iterable[Path], folder: Path, grades: Mapping[str, str] | None = None) -> list[Case]:
    """Put files together to cases by their names: ``<case>_<modality>.nii.gz``, or ``<modality>.nii.gz`` in a folder.

    Args:
        files: NIfTI files, relative to ``folder``. Those whose names end in no modality or label are passed over.
        folder: the data set's folder.
        grades: grades of cases, by name, for those that no folder tells.

    Raises:
        InputError: when two folders hold cases of the same name.
    """
    groups: dict[tuple[Path, str], Files] = defaultdict(lambda: defaultdict(list))
    for path in files:
        prefix, content = _parse(path)
        if content is not None:
            groups[path.parent, prefix][content].append(path)
    _adopt_stray_labels(groups)
    cases: dict[str, Case] = {}
    for (parent, prefix), content_files in groups.items():
        name = prefix or (folder / parent).absolute().name
        case = _case(name, content_files, _grade_of_folder(parent) or (grades or {}).get(name))
        if name in cases:
            raise InputError(
                f"two cases are named {name!r}: {', '.join(cases[name].files.values())} and "
                f"{', '.join(case.files.values())}. Rename one, or choose a folder that holds one of them."
            )
        cases[name] = case
    return list(cases.values())


def label_scheme_of(cases: Iterable[Case]) -> str:
    """Tell the label scheme from how the files name their modalities: since BraTS 2023 (``t1n``) ET is 3, not 4.

    Raises:
        InputError: when some labelled cases are named in the old way and some in the new.
    """
    named = [case for case in cases if case.modalities]
    labelled = [case for case in named if case.label is not None]
    examples = {_scheme_of_names(case): case.name for case in labelled or named}
    if labelled and len(examples) > 1:
        raise InputError(
            f"{examples['brats2018']} is named as in BraTS 2018 to 2022, {examples['brats2023']} as in BraTS 2023 "
            "and later: enhancing tumour is label 4 in the one and 3 in the other. Keep them in folders of their own."
        )
    return next(iter(examples), "brats2018")


def _scheme_of_names(case: Case) -> str:
    suffixes = [_split_name(Path(path))[1] for path in case.modalities.values()]
    new, old = (sum(suffix in names for suffix in suffixes) for names in (NAMES_2023, NAMES_2018))
    return "brats2023" if new > old else "brats2018"


def _split_name(path: Path) -> tuple[str, str]:
    """Split a file's name into case and suffix: ``Brats18_1_T1ce.nii.gz`` into ``Brats18_1`` and ``t1ce``."""
    match = NAME.fullmatch(path.name)
    return (match["case"] or "", match["suffix"].lower()) if match else ("", "")


def _parse(path: Path) -> tuple[str, str | None]:
    """Return a file's case and what it holds: a modality, ``"label"``, or ``None`` when its name does not tell."""
    prefix, suffix = _split_name(path)
    return prefix, "label" if suffix in LABEL_SUFFIXES else modality_of_suffix(suffix)


def _adopt_stray_labels(groups: dict[tuple[Path, str], Files]) -> None:
    """Give a label that bears another name than its folder to the case that the folder is named after."""
    for parent, prefix in list(groups):
        if set(groups[parent, prefix]) != {"label"}:
            continue
        if prefix != parent.name and (parent, parent.name) in groups:
            groups[parent, parent.name]["label"] += groups.pop((parent, prefix))["label"]


def _case(name: str, files: Files, grade: str | None) -> Case:
    modalities = {modality: files[modality][0].as_posix() for modality in MODALITIES if modality in files}
    label = files["label"][0].as_posix() if "label" in files else None
    duplicates = tuple((content, path.as_posix()) for content, paths in files.items() for path in paths[1:])
    return Case(name, modalities, label, grade, duplicates=duplicates)


def _grade_of_folder(parent: Path) -> str | None:
    return next((part.upper() for part in parent.parts if part.upper() in GRADES), None)


def _mapped_grades(folder: Path) -> dict[str, str]:
    """Read the grades from the ``name_mapping.csv`` of BraTS 2019 and 2020, where there is one."""
    grades = {}
    for path in (*folder.glob("name_mapping*.csv"), *folder.glob("*/name_mapping*.csv")):
        for row in csv.DictReader(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            grade = (row.get("Grade") or "").strip().upper()
            if grade in GRADES:
                grades.update({str(value).strip(): grade for value in row.values()})
    return grades
