"""Which layout a folder has, and the cases in it: BraTS, BIDS, nnU-Net's raw data, the Decathlon's Task01."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from pkdr_monai.data import brats, nnunet
from pkdr_monai.data.cases import Case, Cohort, nifti_files
from pkdr_monai.data.names import parse_name
from pkdr_monai.data.sidecars import heed_sidecar
from pkdr_monai.errors import InputError, some

__all__ = ["find_cases"]

logger = logging.getLogger(__name__)

LAYOUTS = (
    "Understood are the folders of BraTS 2018 to 2022 (<case>/<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg; also below "
    "HGG/ and LGG/), of BraTS 2023 and later (<case>/<case>-t1n.nii.gz, -t1c, -t2w, -t2f, -seg), such files without a "
    "folder for each case, BIDS (sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz, also below derivatives/), images and "
    "labels in folders of their own, the Decathlon's Task01_BrainTumour and nnU-Net's raw data (dataset.json, "
    "imagesTr/, labelsTr/)."
)
OWN_RESULTS = ("_probabilities", "_uncertainty")


def find_cases(folder: str | Path, labels: bool = True) -> Cohort:
    """Find the cases in a folder as it was downloaded: BraTS, BIDS, nnU-Net's raw data, or the Decathlon's Task01.

    Files are told by their names, in any letter case (:mod:`pkdr_monai.data.names`), and by the sidecars beside them
    (:mod:`pkdr_monai.data.sidecars`); no image is opened. Files that are passed over are logged as a warning, with the
    reason. A case that lacks a modality or its label is found all the same:
    :func:`pkdr_monai.data.checks.check_cases` says what is wrong with it.

    Args:
        folder: the data set's folder.
        labels: whether label files of a BraTS folder count; if not, results may lie among the scans.

    Returns:
        The cases, sorted by name, and the label scheme that their file names imply.

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
    elif nnunet.is_task01(folder):
        cases, label_scheme = nnunet.find_task01_cases(folder), nnunet.LABEL_SCHEME
    else:
        cases = brats.find_brats_cases(folder, labels)
        label_scheme = brats.label_scheme_of(cases)
        _log_passed_over(folder, cases, labels)
    if not cases:
        raise InputError(f"no case found in {folder} ({_seen_in(folder)}). {LAYOUTS}")
    return Cohort(folder, tuple(sorted(cases, key=lambda case: case.name)), label_scheme)


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
    if any(re.fullmatch(r".+_\d{4}\.nii(\.gz)?", path.name) for path in files):
        return (
            f"it holds {some([str(path) for path in files], 3)}, numbered as nnU-Net numbers modalities, but no "
            "dataset.json that names them: put it beside imagesTr/"
        )
    seen = [f"{path}: {heed_sidecar(folder / path, parse_name(path)).name.reason}" for path in files]
    return f"it holds {some(seen, 3)}" if seen else "it holds no NIfTI file down to 6 levels of folders"
