"""Label maps in a folder, whoever wrote them: found by name, with the scheme that their folder gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pkdr_monai.data.cases import nifti_files
from pkdr_monai.data.label_schemes import with_label_scheme
from pkdr_monai.data.layouts import cases_of_files, find_cases
from pkdr_monai.data.names import output_key, parse_name, stem_of
from pkdr_monai.data.nnunet import is_raw_data, is_task01
from pkdr_monai.errors import InputError, some
from pkdr_monai.inference.bids import FOLDER
from pkdr_monai.regions import LABEL_SCHEMES, scheme_labels

__all__ = ["LabelMaps", "find_predictions", "find_truths"]

NO_LABEL_MAP = re.compile(r"[-_](probabilities|uncertainty|entropy|softmax)$", re.IGNORECASE)
PREDICTION = re.compile(r"[-_](pred|preds|predicted|prediction)$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelMaps:
    """The label maps of a folder.

    Args:
        folder: where they lie.
        files: label map by case, in the order of the cases' names.
        label_scheme: scheme of their values, or ``None`` where nothing gives it.
    """

    folder: Path
    files: dict[str, Path]
    label_scheme: str | None = None


def find_predictions(folder: str | Path) -> LabelMaps:
    """Find predicted label maps: ``CASE.nii.gz`` as nnU-Net names them, ``CASE/CASE_t2_seg.nii.gz``, ``CASE_pred.nii``.

    Args:
        folder: a folder of predictions; folders in it count too.

    Raises:
        InputError: when it is absent, holds no label map, two of one case, or scans.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("ann.nii.gz", "bob_t2_seg.nii", "bob_t2_probabilities.nii", "eve_pred.nii.gz"):
        ...     (folder / name).touch()
        >>> list(find_predictions(folder).files)
        ['ann', 'bob', 'eve']
    """
    folder = _existing(folder)
    if _scans(folder):
        raise InputError(
            f"{folder} holds scans beside its label maps, so that these may be a data set's own labels: "
            "keep predictions in a folder of their own, and name that one."
        )
    return LabelMaps(folder, _label_maps(folder))


def find_truths(folder: str | Path, label_scheme: str | None = None) -> LabelMaps:
    """Find the true label maps: the labels of a data set, or a folder of label maps alone.

    Args:
        folder: a data set as it was downloaded, or such as nnU-Net's ``labelsTr``.
        label_scheme: the scheme of the labels. Without it a data set's layout and names give it, where it has scans.

    Raises:
        InputError: when there is no label map, or nothing gives the scheme.
    """
    folder = _existing(folder)
    if label_scheme is not None:
        scheme_labels(label_scheme)
    if is_raw_data(folder) or is_task01(folder) or _scans(folder):
        try:
            cohort = with_label_scheme(find_cases(folder), label_scheme)
        except InputError as error:
            raise InputError(str(error).replace("--label_scheme", "--truth_scheme")) from error
        files = {case.name: folder / case.label for case in cohort.cases if case.label is not None}
        if not files:
            raise InputError(f"{folder} holds scans but no label of any: name a folder whose cases have labels.")
        return LabelMaps(folder, files, cohort.label_scheme)
    files = _label_maps(folder)
    if label_scheme is None:
        raise InputError(
            f"{folder} holds label maps alone, whose names do not say what their values mean: "
            f"say it with --truth_scheme, one of {', '.join(LABEL_SCHEMES)}."
        )
    return LabelMaps(folder, files, label_scheme)


def _existing(folder: str | Path) -> Path:
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected a folder of label maps. Check the path.")
    return folder


def _files(folder: Path) -> list[Path]:
    """Return the NIfTI files of a folder, without the copies that ``pkdr predict --bids`` writes into ``bids/``."""
    copied = (folder / FOLDER / "dataset_description.json").is_file()
    return [path for path in nifti_files(folder) if not (copied and path.parts[0] == FOLDER)]


def _scans(folder: Path) -> bool:
    return any(case.modalities for case in cases_of_files(_files(folder), folder))


def _label_maps(folder: Path) -> dict[str, Path]:
    """Return the label map of each case; a name that says nothing else is that of a case."""
    found: dict[str, tuple[str, Path]] = {}
    for path in _files(folder):
        if NO_LABEL_MAP.search(stem_of(path.name)):
            continue
        case = _case_of(path, folder)
        if case is None:
            continue
        other = found.setdefault(output_key(case), (case, path))
        if other[1] != path:
            raise InputError(
                f"{folder} has two label maps of {case}: {other[1]} and {path}. Keep one, or name a folder with one."
            )
    if not found:
        seen = some([str(path) for path in nifti_files(folder)], 3)
        raise InputError(
            f"{folder} holds no label map ({seen or 'no NIfTI file at all'}): expected files such as CASE.nii.gz or "
            "CASE/CASE_seg.nii.gz."
        )
    return {case: folder / path for case, path in sorted(found.values())}


def _case_of(path: Path, folder: Path) -> str | None:
    """Return the case of a label map, or ``None`` for what says that it is something else."""
    name = parse_name(path)
    if name.content == "label":
        return name.case or (folder / path).absolute().parent.name
    if name.content is None and not name.readings and name.reason == "its name says no modality":
        return PREDICTION.sub("", name.case or stem_of(path.name))
    return None
