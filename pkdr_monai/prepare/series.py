"""The series of a DICOM folder: which files belong together."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pkdr_monai.data.acquisition import Facts
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, file_hash
from pkdr_monai.prepare.dicom_files import files_below, is_dicom, quiet_pydicom, read_dicom, require_extra
from pkdr_monai.prepare.facts import read_facts

__all__ = ["Series", "read_series"]


@dataclass(frozen=True)
class Series:
    """One series of a study.

    Args:
        uid: its SeriesInstanceUID.
        study: its StudyInstanceUID.
        patient: a hash of the patient's identity.
        number: its SeriesNumber, ``""`` where there is none.
        files: its files, in the order of their names.
        facts: what its headers say.
    """

    uid: str
    study: str
    patient: str
    number: str
    files: tuple[Path, ...] = field(repr=False)
    facts: Facts

    @property
    def key(self) -> str:
        """A hash of its UID that names it, eight hexadecimal digits."""
        return hashlib.sha256(self.uid.encode()).hexdigest()[:8]

    @property
    def title(self) -> str:
        """How it is named to people."""
        number = f"series {self.number} ({self.key})" if self.number else f"series {self.key}"
        return f"{number} {self.facts.description!r}" if self.facts.description else number

    def content(self) -> str:
        """Return a hash of what its files hold, whatever their names and order."""
        return content_hash(sorted(map(file_hash, self.files)))


def read_series(folder: Path) -> list[Series]:
    """Read the headers of all DICOM files below a folder, and group them by series.

    Args:
        folder: the folder; files that are not DICOM are passed over.

    Returns:
        The series, by their numbers.

    Raises:
        InputError: when there is no DICOM file, one is damaged, or they belong to several studies or patients.
    """
    require_extra()
    headers: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    with quiet_pydicom():
        for path in files_below(folder):
            if is_dicom(path):
                dataset = read_dicom(path)
                if dataset is not None:
                    headers[str(dataset.get("SeriesInstanceUID", ""))].append((path, dataset))
        if not headers:
            raise InputError("the input holds no DICOM image: give the folder or the zip of one study.")
        found = [_series(uid, members) for uid, members in headers.items()]
    for what, values in (("patients", {one.patient for one in found}), ("studies", {one.study for one in found})):
        if len(values) > 1:
            raise InputError(f"the input holds {len(values)} {what}: give the folder of one study of one patient.")
    return sorted(found, key=lambda one: (int(one.number) if one.number.isdigit() else 0, one.uid))


def _series(uid: str, members: Sequence[tuple[Path, Any]]) -> Series:
    first = members[0][1]
    identity = [str(first.get("PatientID", "")), str(first.get("PatientName", ""))]
    facts = read_facts([dataset for _, dataset in members])
    number = first.get("SeriesNumber")
    return Series(
        uid=uid,
        study=str(first.get("StudyInstanceUID", "")),
        patient=content_hash(identity),
        number="" if number is None else str(number),
        files=tuple(path for path, _ in members),
        facts=facts,
    )
