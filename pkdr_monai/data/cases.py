"""A patient's scan as files on disk, and the finder that knows the folders of BraTS and of the Decathlon."""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pkdr_monai.data.geometry import require_geometry
from pkdr_monai.data.names import NIFTI_NAME, FileName, parse_name
from pkdr_monai.data.sidecars import heed_sidecar
from pkdr_monai.errors import InputError, some

__all__ = ["Case", "Cohort", "exclude_cases", "find_cases", "nifti_files", "with_geometry"]

logger = logging.getLogger(__name__)

FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")

LAYOUTS = (
    "Understood are the folders of BraTS 2018 to 2022 (<case>/<case>_t1.nii.gz, _t1ce, _t2, _flair, _seg; also below "
    "HGG/ and LGG/), of BraTS 2023 and later (<case>/<case>-t1n.nii.gz, -t1c, -t2w, -t2f, -seg), such files without a "
    "folder for each case, BIDS (sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz, also below derivatives/), images and "
    "labels in folders of their own, the Decathlon's Task01_BrainTumour and nnU-Net's raw data (dataset.json, "
    "imagesTr/, labelsTr/)."
)
OWN_RESULTS = ("_probabilities", "_uncertainty")


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
        unclear: files whose names name two modalities, with what each says; they are refused.
        notes: files whose JSON sidecars contradict their names or cannot be read, with both values and the reason.
        geometry: what of its files' headers counts, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

    Raises:
        InputError: when the name cannot be that of a folder of results, such as ``".."``.
    """

    name: str
    modalities: dict[str, str]
    label: str | None = None
    grade: str | None = None
    channels: dict[str, int] | None = None
    duplicates: tuple[tuple[str, str], ...] = ()
    unclear: tuple[tuple[str, FileName], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    geometry: str = "header"

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

    def lacks(self, modalities: Iterable[str]) -> list[str]:
        """Return those of the modalities that the case does not have."""
        return [modality for modality in modalities if modality not in self.modalities]

    def only(self, modalities: Iterable[str]) -> Case:
        """Return the case with these of its modalities alone."""
        if set(self.modalities) <= set(modalities):
            return self
        kept = {modality: path for modality, path in self.modalities.items() if modality in modalities}
        channels = self.channels and {modality: self.channels[modality] for modality in kept}
        return replace(self, modalities=kept, channels=channels)

    @property
    def every_file(self) -> set[str]:
        """Every file that was found for the case, those that are one too many or unclear included."""
        return {*self.files.values(), *(path for _, path in self.duplicates), *(path for path, _ in self.unclear)}

    def refuse_unclear(self) -> None:
        """Refuse a case that has a file whose name names two modalities.

        Raises:
            InputError: with the file, the two words, and how to name it.
        """
        for path, name in self.unclear:
            options = " or ".join(dict.fromkeys(f"--{modality} FILE" for _, modality in name.readings))
            raise InputError(
                f"case {self.name}: {path} is unclear: {name.reason}. Name what it is with {options} of pkdr predict, "
                "or rename or move it."
            )


@dataclass(frozen=True)
class Cohort:
    """The cases of one folder, in the order of their names, and the scheme that their labels follow."""

    folder: Path
    cases: tuple[Case, ...]
    label_scheme: str


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
    from pkdr_monai.data import brats, msd, nnunet  # here, because they build the Case of this file

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected the folder of a data set. {LAYOUTS}")
    if nnunet.is_raw_data(folder):
        cases, label_scheme = nnunet.find_raw_cases(folder, labels)
    elif msd.is_task01(folder):
        cases, label_scheme = msd.find_task01_cases(folder), msd.LABEL_SCHEME
    else:
        cases = brats.find_brats_cases(folder, labels)
        label_scheme = brats.label_scheme_of(cases)
        _log_passed_over(folder, cases, labels)
    if not cases:
        raise InputError(f"no case found in {folder} ({_seen_in(folder)}). {LAYOUTS}")
    return Cohort(folder, tuple(sorted(cases, key=lambda case: case.name)), label_scheme)


def with_geometry(cases: Sequence[Case], geometry: str) -> tuple[Case, ...]:
    """Return the cases with a choice of what of their headers counts.

    Raises:
        InputError: when it is none of :data:`pkdr_monai.data.geometry.GEOMETRIES`.
    """
    require_geometry(geometry)
    return tuple(replace(case, geometry=geometry) for case in cases)


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


def nifti_files(folder: Path, depth: int = 6) -> Iterator[Path]:
    """Yield the NIfTI files in ``folder``, relative to it and sorted within each folder, hidden ones left out.

    Each folder counts once: links to folders are followed after the folders themselves, and only where they lead
    somewhere new, so that ``latest -> v1`` and a link to its own folder show nothing twice.

    Args:
        folder: where to look.
        depth: how many levels of folders to look into, so that a slip does not walk a whole disk.
    """
    seen: set[str] = set()
    waiting = [Path()]
    for start in waiting:  # grows as links are found
        for parent, folders, files in os.walk(folder / start):
            relative = Path(parent).relative_to(folder)
            real = os.path.realpath(parent)
            visible = sorted(name for name in folders if not name.startswith("."))
            if real in seen or len(relative.parts) >= depth:
                visible = []
            waiting += [relative / name for name in visible if Path(parent, name).is_symlink()]
            folders[:] = [name for name in visible if not Path(parent, name).is_symlink()]
            if real in seen:
                continue
            seen.add(real)
            for name in sorted(files):
                if not name.startswith(".") and NIFTI_NAME.fullmatch(name):
                    yield relative / name


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
