"""A patient's scan as files on disk, and the cohort that it belongs to."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pkdr_monai.data.geometry import require_geometry
from pkdr_monai.data.names import NIFTI_NAME, FileName
from pkdr_monai.errors import InputError

__all__ = ["Case", "Cohort", "exclude_cases", "nifti_files", "with_geometry"]

FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Case:
    """One scan of one patient: where its modalities and its label lie.

    Args:
        name: name of the case, unique in its cohort.
        modalities: modality to file, relative to the cohort's folder, with forward slashes. Missing ones are left out.
        label: file of the tumour labels, or ``None``.
        grade: ``"HGG"`` or ``"LGG"`` (high- or low-grade glioma), or ``None`` where the data set does not say.
        channels: modality to channel, where one 4-D file holds all modalities; ``None`` where each has its own file.
        duplicates: further files for a place that is taken, such as ``("t1", path)``; a check reports them.
        unclear: files whose names name two modalities, with what each says; they are refused.
        notes: files whose JSON sidecars contradict their names or cannot be read, with both values and the reason.
        geometry: which affine of its files' headers to use, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

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
    """The cases of one folder, in the order of their names, and the scheme that their labels follow.

    Args:
        folder: the data set's folder.
        cases: by name.
        label_scheme: a key of :data:`pkdr_monai.regions.LABEL_SCHEMES`.
        described: whether the data set itself says so, as a ``dataset.json`` does; else it is guessed from names.
    """

    folder: Path
    cases: tuple[Case, ...]
    label_scheme: str
    described: bool = False


def with_geometry(cases: Sequence[Case], geometry: str) -> tuple[Case, ...]:
    """Return the cases with a choice of which affine of their headers to use.

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
