"""The cases of a folder: by the names of their files (BraTS, BIDS, a hospital's own), or as dataset.json says."""

from __future__ import annotations

import csv
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pkdr_monai.data import nnunet
from pkdr_monai.data.cases import Case, Cohort, nifti_files
from pkdr_monai.data.names import NIFTI_NAME, FileName, output_key, parse_name, stem_of
from pkdr_monai.data.patients import is_timepoint
from pkdr_monai.data.sidecars import heed_sidecar
from pkdr_monai.errors import InputError, some
from pkdr_monai.modalities import MODALITIES

__all__ = ["cases_of_files", "find_brats_cases", "find_cases", "scheme_of_endings"]

logger = logging.getLogger(__name__)

LAYOUTS = (
    "Understood are the folders of BraTS 2018 to 2022 (<case>/<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg; also below "
    "HGG/ and LGG/), of BraTS 2023 and later (<case>/<case>-t1n.nii.gz, -t1c, -t2w, -t2f, -seg), such files without a "
    "folder for each case, BIDS (sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz, also below derivatives/), images and "
    "labels in folders of their own, the Decathlon's Task01_BrainTumour and nnU-Net's raw data (dataset.json, "
    "imagesTr/, labelsTr/)."
)
OWN_RESULTS = ("_probabilities", "_uncertainty")
GRADES = ("HGG", "LGG")
NAMES_2018 = ("t1", "t1ce", "t2", "flair")
NAMES_2023 = ("t1n", "t1c", "t2w", "t2f")
INNER_FOLDERS = ("anat", "nifti", "nii", "mri")  # within a case's folder
LABEL_FOLDER = re.compile(r"label|seg(?![a-z])|segm|mask|annotation|ground.?truth|^gt$|^derivatives$", re.IGNORECASE)
LABELS_ALONE = ("labels", "label", "labelstr", "segmentations", "masks", "annotations", "gt", "groundtruth")

Files = dict[str, list[tuple[Path, FileName]]]
"""Files by what they hold: a modality, ``"label"``, or ``"unclear"``."""
Groups = dict[tuple[Path, str], Files]


def find_cases(folder: str | Path, labels: bool = True) -> Cohort:
    """Find the cases in a folder as it was downloaded: BraTS, BIDS, nnU-Net's raw data, or the Decathlon's Task01.

    Files are recognised by their names, in any letter case (:mod:`pkdr_monai.data.names`), and by the
    sidecars beside them (:mod:`pkdr_monai.data.sidecars`); no image is opened. Files that are passed over are
    logged as a warning, with the reason. A case that lacks a modality or its label is found all the same:
    :func:`pkdr_monai.data.checks.check_cases` says what is wrong with it.

    Args:
        folder: the data set's folder.
        labels: whether label files of a BraTS folder count; if not, results may lie among the scans.

    Returns:
        The cases, sorted by name, and the label scheme that dataset.json describes or their file names imply.

    Raises:
        InputError: when the folder is absent, holds no case, or holds two cases of one name or data sets with
            different labels.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for modality in ("t1n", "t2f"):
        ...     (folder / f"BraTS-GLI-00000-000-{modality}.nii.gz").touch()
        >>> cohort = find_cases(folder)
        >>> cohort.label_scheme, cohort.cases[0].name, cohort.cases[0].modalities["flair"]
        ('brats2023', 'BraTS-GLI-00000-000', 'BraTS-GLI-00000-000-t2f.nii.gz')
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected the folder of a data set. {LAYOUTS}")
    if nnunet.is_raw_data(folder):
        cases, label_scheme = nnunet.find_raw_cases(folder, labels)
        described = True
    elif nnunet.is_task01(folder):
        cases, label_scheme = nnunet.find_task01_cases(folder), nnunet.LABEL_SCHEME
        described = True
    else:
        cases = find_brats_cases(folder, labels)
        label_scheme = scheme_of_endings(cases)
        described = False
        _log_passed_over(folder, cases, labels)
    if not cases:
        raise InputError(f"no case found in {folder} ({_seen_in(folder)}). {LAYOUTS}")
    return Cohort(folder, tuple(sorted(cases, key=lambda case: case.name)), label_scheme, described)


def _log_passed_over(folder: Path, cases: Iterable[Case], labels: bool) -> None:
    """Name the files that are in no case; those that a prediction wrote, and unwanted labels, need no mention."""
    used = {path for case in cases for path in case.every_file}
    passed_over = []
    for path in nifti_files(folder):
        name = heed_sidecar(folder / path, parse_name(path)).name
        if path.as_posix() in used or (name.content == "label" and not labels):
            continue
        if not any(word in path.name.lower() for word in OWN_RESULTS):
            passed_over.append(
                f"{path.as_posix()} ({name.reason or 'it belongs to no case, or a better label is there'})"
            )
    if used and passed_over:
        logger.warning("%s: %d files are passed over: %s", folder, len(passed_over), some(passed_over, 5))


def _seen_in(folder: Path) -> str:
    """Say what a folder without cases holds, and why none of it is one."""
    files = list(nifti_files(folder))
    if any(nnunet.NUMBERED.fullmatch(stem_of(path.name)) for path in files):
        return (
            f"it holds {some([str(path) for path in files], 3)}, numbered as nnU-Net numbers modalities, but no "
            "dataset.json that names them: put it beside imagesTr/"
        )
    seen = [f"{path}: {heed_sidecar(folder / path, parse_name(path)).name.reason}" for path in files]
    return f"it holds {some(seen, 3)}" if seen else "it holds no NIfTI file down to 6 levels of folders"


def find_brats_cases(folder: Path, labels: bool = True) -> list[Case]:
    """Return the cases of a BraTS folder; their grades come from ``HGG/`` and ``LGG/`` or from ``name_mapping.csv``."""
    files = (path for path in nifti_files(folder) if labels or _parse(path).content != "label")
    return cases_of_files(files, folder, _mapped_grades(folder))


def cases_of_files(files: Iterable[Path], folder: Path, grades: Mapping[str, str] | None = None) -> list[Case]:
    """Put files together to cases by their names: ``<case>_<modality>.nii.gz``, or ``<modality>.nii.gz`` in a folder.

    Args:
        files: NIfTI files, relative to ``folder``. Those whose names say neither a modality nor a label are passed
            over; those that name two modalities are in ``unclear`` of their case. A JSON sidecar beside an image
            decides against its name, and the case notes it.
        folder: the data set's folder.
        grades: grades of cases, by name, for those that no folder gives.

    Raises:
        InputError: when two folders hold cases of the same name, or two names differ in letter case alone.
    """
    groups: Groups = defaultdict(lambda: defaultdict(list))
    notes: dict[str, str] = {}
    for path in files:
        heard = heed_sidecar(folder / path, _parse(path))
        said, notes[path.as_posix()] = heard.name, heard.note
        if said.content is not None or said.readings:
            groups[_parent(path), said.case][said.content or "unclear"].append((path, said))
    _adopt_stray_labels(groups)
    _join_separate_labels(groups, folder)
    cases: dict[str, Case] = {}
    for (parent, prefix), content_files in groups.items():
        name = prefix or _folder_name(folder, parent)
        case = _case(name, content_files, _grade_of_folder(parent) or (grades or {}).get(name), notes)
        other = cases.setdefault(output_key(name), case)
        if other is not case:
            named = repr(name) if other.name == name else f"{other.name!r} and {name!r}, one name but for letter case"
            raise InputError(
                f"two cases are named {named}: {', '.join(sorted(other.every_file))} and "
                f"{', '.join(sorted(case.every_file))}. Rename one, or choose a folder that holds one of them."
            )
    return list(cases.values())


def scheme_of_endings(cases: Iterable[Case]) -> str:
    """Return the label scheme from how the files name their modalities: since BraTS 2023 (``t1n``) ET is 3, not 4.

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
    suffixes = [parse_name(path).words for path in case.modalities.values() if not Path(path).name.startswith("sub-")]
    new, old = (sum(suffix in names for suffix in suffixes) for names in (NAMES_2023, NAMES_2018))
    return "brats2023" if new > old else "brats2018"


def _parse(path: Path) -> FileName:
    """Read a file's name; in a folder of labels, a file that is named by its case alone is a label."""
    name = parse_name(path)
    if name.content is None and not name.readings and _is_case_in_label_folder(path, name):
        return FileName(stem_of(path.name), "label", "label")
    return name


def _is_case_in_label_folder(path: Path, name: FileName) -> bool:
    return name.reason == "its name says no modality" and path.parent.name.lower() in LABELS_ALONE


def _parent(path: Path) -> Path:
    """Return a file's folder; one named like a file, as in BraTS 2021's ``x_t1.nii.gz/``, is part of the file."""
    parent = path.parent
    while NIFTI_NAME.fullmatch(parent.name):
        parent = parent.parent
    return parent


def _folder_name(folder: Path, parent: Path) -> str:
    """Return the name of the case that a folder stands for: ``ann``, or ``Patient-001_week-000`` for a time point."""
    place = (folder / parent).absolute()
    while place.name.lower() in INNER_FOLDERS and place.parent.name:
        place = place.parent
    if is_timepoint(place.name) and place.parent.name:
        return f"{place.parent.name}_{place.name}"
    return place.name


def _adopt_stray_labels(groups: Groups) -> None:
    """Give a label that bears another name than its folder to the case that the folder is named after.

    One that is named by the word alone, in a folder below that of a single case, belongs to that case.
    """
    for parent, prefix in list(groups):
        if set(groups[parent, prefix]) != {"label"}:
            continue
        if prefix and prefix != parent.name and (parent, parent.name) in groups:
            groups[parent, parent.name]["label"] += groups.pop((parent, prefix))["label"]
            continue
        for above in (parent, *parent.parents) if not prefix else ():
            owners = [key for key in groups if key[0] == above and set(groups[key]) - {"label"}]
            if len(owners) == 1:
                groups[owners[0]]["label"] += groups.pop((parent, prefix))["label"]
            if owners:
                break


def _join_separate_labels(groups: Groups, folder: Path) -> None:
    """Give labels in a folder of their own, such as ``labels/`` beside ``images/``, to the images of the same case."""
    owners = defaultdict(list)
    for key in groups:
        if set(groups[key]) - {"label"}:
            owners[key[1] or _folder_name(folder, key[0])].append(key)
    for parent, prefix in list(groups):
        apart = any(LABEL_FOLDER.search(part) for part in parent.parts)
        if not apart or set(groups[parent, prefix]) != {"label"}:
            continue
        found = owners.get(prefix or _folder_name(folder, parent), [])
        if len(found) == 1:
            groups[found[0]]["label"] += groups.pop((parent, prefix))["label"]


def _case(name: str, files: Files, grade: str | None, notes: Mapping[str, str]) -> Case:
    best = max((label.rank for _, label in files.get("label", [])), default=0)
    labels = [path for path, label in files.get("label", []) if label.rank == best]
    modalities = {modality: files[modality][0][0].as_posix() for modality in MODALITIES if modality in files}
    further = [("label", path.as_posix()) for path in labels[1:]]
    for content, found in files.items():
        if content in MODALITIES:
            further += [(content, path.as_posix()) for path, _ in found[1:]]
    case = Case(name, modalities, labels[0].as_posix() if labels else None, grade, duplicates=tuple(further))
    case = replace(case, unclear=tuple((path.as_posix(), said) for path, said in files.get("unclear", [])))
    return replace(case, notes=tuple((path, notes[path]) for path in sorted(case.every_file) if notes.get(path)))


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
