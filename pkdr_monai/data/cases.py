"""A patient's scan as files on disk, and the finder that knows the folders of BraTS and of the Decathlon."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pkdr_monai.errors import InputError

__all__ = ["NIFTI_NAME", "Case", "Cohort", "exclude_cases", "find_cases", "nifti_files"]

NIFTI_NAME = re.compile(r"(?P<stem>.+)\.nii(\.gz)?", re.IGNORECASE)
"""Matches the names of NIfTI files in full; ``stem`` is the name without its endings."""

FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")

LAYOUTS = (
    "Understood are the folders of BraTS 2018 to 2022 (<case>/<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg; also below "
    "HGG/ and LGG/), of BraTS 2023 and later (<case>/<case>-t1n.nii.gz, -t1c, -t2w, -t2f, -seg), such files without a "
    "folder for each case, and the Decathlon's Task01_BrainTumour (dataset.json, imagesTr/, labelsTr/)."
)


@dataclass(frozen=True)
class Case:
    """One scan of one patient: where its modalities and its label lie.

    Args:
        name: name of the case, unique in its cohort.
        modalities: modality to file, relative to the cohort's folder, with forward slashes. Missing ones are left out.
        label: file of the tumour labels, or ``None``.
        grade: ``"HGG"`` or ``"LGG"`` (high- or low-grade glioma), or ``None`` where the data set does not tell.
        channels: modality to channel, where one 4-D file holds all modalities; ``None`` where each has its own file.
        duplicates: further files for a place that is taken, such as ``("t1", path)``; a check reports them.

    Raises:
        InputError: when the name cannot be that of a folder of results, such as ``".."``.
    """

    name: str
    modalities: dict[str, str]
    label: str | None = None
    grade: str | None = None
    channels: dict[str, int] | None = None
    duplicates: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or FORBIDDEN.search(self.name):
            raise InputError(
                f"a case is named {self.name!r}: results are written to a folder of that name, so it needs letters or "
                "digits, and no slash, backslash or control character. Rename it."
            )

    @property
    def files(self) -> dict[str, str]:
        """Every file of the case by what it holds: the modalities, and ``"label"`` where there is one."""
        return self.modalities if self.label is None else {**self.modalities, "label": self.label}


@dataclass(frozen=True)
class Cohort:
    """The cases of one folder, in the order of their names, and the scheme that their labels follow."""

    folder: Path
    cases: tuple[Case, ...]
    label_scheme: str


def find_cases(folder: str | Path, labels: bool = True) -> Cohort:
    """Find the cases in a folder as it was downloaded: BraTS 2018 to 2024, or the Decathlon's Task01.

    Files are told by their names, in any letter case; none is opened. A case that lacks a modality or its label is
    found all the same: :func:`pkdr_monai.data.checks.check_cases` says what is wrong with it.

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
    from pkdr_monai.data import brats, msd  # here, because both of them build the Case of this file

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected the folder of a data set. {LAYOUTS}")
    if msd.is_task01(folder):
        cases, label_scheme = msd.find_task01_cases(folder), msd.LABEL_SCHEME
    else:
        cases = brats.find_brats_cases(folder, labels)
        label_scheme = brats.label_scheme_of(cases)
    if not cases:
        seen = ", ".join(str(path) for path in islice(nifti_files(folder), 3)) or "no NIfTI file"
        raise InputError(f"no case found in {folder} (it holds {seen}). {LAYOUTS}")
    return Cohort(folder, tuple(sorted(cases, key=lambda case: case.name)), label_scheme)


def exclude_cases(cases: Sequence[Case], names: Collection[str]) -> list[Case]:
    """Return the cases without those named.

    Raises:
        InputError: when there is no case of a name, or none is left.
    """
    known = [case.name for case in cases]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {len(known)}, the first is {known[0]!r}."
            raise InputError(f"cannot exclude {name!r}: no case has this name; {hint}")
    kept = [case for case in cases if case.name not in names]
    if not kept:
        raise InputError(f"all {len(known)} cases are excluded: leave at least one.")
    return kept


def nifti_files(folder: Path, depth: int = 4) -> Iterator[Path]:
    """Yield the NIfTI files in ``folder``, relative to it and sorted within each folder, hidden ones left out.

    Args:
        folder: where to look.
        depth: how many levels of folders to look into, so that a slip does not walk a whole disk.
    """
    for parent, folders, files in os.walk(folder, followlinks=True):
        relative = Path(parent).relative_to(folder)
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = visible if len(relative.parts) < depth else []
        for name in sorted(files):
            if not name.startswith(".") and NIFTI_NAME.fullmatch(name):
                yield relative / name
