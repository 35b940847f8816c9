"""A scan: what was found of it, which of its files are read, and why a network would segment it into nonsense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pkdr_monai.data.cases import Case
from pkdr_monai.data.checks import check_cases
from pkdr_monai.data.layouts import cases_of_files, find_cases
from pkdr_monai.data.names import NIFTI_NAME, parse_name, stem_of
from pkdr_monai.data.problems import Problem, errors_among
from pkdr_monai.data.sidecars import heed_sidecar, sidecar_against
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES

__all__ = ["Scan", "check_scan", "find_scans", "refuse_two_candidates"]

NAME_IT = "name what it is: --flair FILE, --t1 FILE, --t1ce FILE or --t2 FILE"


@dataclass(frozen=True)
class Scan:
    """One patient's images, on the disk.

    Args:
        case: its name and files; a label, where there was one, is left out.
        folder: what the files are relative to.
    """

    case: Case
    folder: Path

    @property
    def name(self) -> str:
        """Name of the case."""
        return self.case.name

    @property
    def modalities(self) -> tuple[str, ...]:
        """What is there, in the project's order."""
        return tuple(modality for modality in MODALITIES if modality in self.case.modalities)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not."""
        return tuple(modality for modality in MODALITIES if modality not in self.case.modalities)

    def paths(self, modalities: Sequence[str]) -> list[Path]:
        """Return the files of some modalities, in their order; a 4-D file that holds them all comes once."""
        files = [(self.folder / self.case.modalities[modality]).absolute() for modality in modalities]
        return files if self.case.channels is None else files[:1]

    def item(self, modalities: Sequence[str]) -> dict[str, Any]:
        """Return what the preprocessing loads, as :func:`~pkdr_monai.data.inference_items` would."""
        paths = [str(path) for path in self.paths(modalities)]
        known = {"case": self.name}
        if self.case.geometry != "header":
            known["geometry"] = self.case.geometry
        if self.case.channels is None:
            return {**known, "image": paths}
        channels = [self.case.channels[modality] for modality in modalities]
        return {**known, "image": paths[0], "channels": channels}


def find_scans(inputs: Sequence[str | Path] = (), named: Mapping[str, str | Path] | None = None) -> list[Scan]:
    """Find scans in a folder, among files, or as named.

    Args:
        inputs: one folder in any layout of :func:`~pkdr_monai.data.layouts.find_cases`, or files whose names say what
            they are, such as ``ann_flair.nii.gz``.
        named: in place of ``inputs``, the files of one scan, by modality.

    Returns:
        The scans, in the order of their names. A scan that has two files for one modality is returned as such.

    Raises:
        InputError: when nothing, or both, is given, a file is absent, or its name gives no modality.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("ann_T2.nii.gz", "ann-flair.nii.gz"):
        ...     (folder / name).touch()
        >>> [(scan.name, scan.modalities) for scan in find_scans([folder])]
        [('ann', ('t2', 'flair'))]
    """
    if bool(inputs) == bool(named):
        raise InputError("expected a folder or files, or files named by --t1, --t1ce, --t2 and --flair; not both.")
    if named:
        return [_named_scan({modality: Path(path) for modality, path in named.items()})]
    paths = [Path(path) for path in inputs]
    if len(paths) == 1 and paths[0].is_dir():
        cases: Sequence[Case] = find_cases(paths[0], labels=False).cases
        folder = paths[0]
    else:
        cases, folder = _cases_of(paths), Path()
    found = (Scan(replace(case, label=None), folder) for case in cases if case.modalities or case.unclear)
    scans = sorted(found, key=lambda scan: scan.name)
    if not scans:
        raise InputError(f"{paths[0]} holds labels alone: expected an image, such as <case>_flair.nii.gz.")
    return scans


def _cases_of(paths: Sequence[Path]) -> list[Case]:
    for path in paths:
        _require_nifti(path)
    files = [path.absolute() for path in paths]
    cases = cases_of_files(files, Path())
    known = {Path(file) for case in cases for file in case.every_file}
    for path in files:
        if path not in known and parse_name(path).content != "label":
            reason = heed_sidecar(path, parse_name(path)).name.reason
            raise InputError(f"the name of {path} does not give its modality ({reason}): {NAME_IT}.")
    return cases


def _named_scan(files: Mapping[str, Path]) -> Scan:
    given: dict[Path, str] = {}
    for modality, path in files.items():
        _require_nifti(path)
        other = given.setdefault(path.resolve(), modality)
        if other != modality:
            raise InputError(f"{path} is given as {other} and as {modality}: give each modality its own file.")
    first = next(iter(files.values()))
    found_cases = cases_of_files([first.absolute()], Path())
    name = found_cases[0].name if found_cases else stem_of(first.name)
    images = {modality: str(path.absolute()) for modality, path in files.items()}
    found = [(path, sidecar_against(Path(path), modality)) for modality, path in images.items()]
    names = ((parse_name(path), path) for path in images.values())
    cases = {said.case: path for said, path in names if said.content and said.case}
    if len(cases) > 1:
        (one, _), *_, (other, last) = cases.items()
        found.append((last, f"by its name it is of {other}, the file beside it of {one}, perhaps another patient"))
    return Scan(Case(name, images, notes=tuple((path, note) for path, note in found if note)), Path())


def _require_nifti(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder among files: give one folder alone, or files alone.")
    if not path.is_file():
        raise InputError(f"there is no file {path}: check the path.")
    if not NIFTI_NAME.fullmatch(path.name):
        raise InputError(
            f"{path} is not a NIfTI file: expected .nii or .nii.gz; convert it first, such as with dcm2niix."
        )


def check_scan(scan: Scan, modalities: Sequence[str], force: bool = False, strict: bool = False) -> list[str]:
    """Check what a model is about to see of a scan.

    Args:
        scan: the scan.
        modalities: what the model sees of it.
        force: take a scan that does not look like a whole, skull-stripped brain.
        strict: refuse an image that looks like another modality than it is given as, or whose sidecar says that it is.

    Returns:
        What a person should look at, one sentence each.

    Raises:
        InputError: with the first thing that is wrong, in one sentence.
    """
    case, folder = scan.case, scan.folder
    problems = check_cases([case], folder, "brats2018", modalities, need_label=False, force=force, strict=strict)
    for problem in errors_among(problems):
        raise InputError(_sentence(problem))
    return [_sentence(problem) for problem in problems]


def refuse_two_candidates(scan: Scan) -> None:
    """Refuse a scan that has more than one file for a modality.

    Raises:
        InputError: with the list of them.
    """
    for modality in scan.modalities:
        further = [path for content, path in scan.case.duplicates if content == modality]
        if further:
            candidates = ", ".join([scan.case.modalities[modality], *further])
            raise InputError(
                f"case {scan.name} has {1 + len(further)} files for {modality}: {candidates}; "
                f"name the right one with --{modality} FILE, or move the others away."
            )


def _sentence(problem: Problem) -> str:
    return f"case {problem.case}, {problem.where}: {problem.what}; {problem.fix.rstrip('.')}."
