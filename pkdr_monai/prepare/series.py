"""The series of a DICOM folder or zip: which files belong together, and what their headers say."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pkdr_monai.data.acquisition import Facts, agent_named
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, file_hash

__all__ = ["Series", "holds_dicom", "quiet_pydicom", "read_series", "require_extra", "unpack_zip"]

MAGIC_PLACE, MAGIC = 128, b"DICM"
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # a DICOMDIR
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
LARGEST_ZIP = 20 * 2**30  # bytes unpacked; a study of a head has about one
LARGEST_RATIO = 200  # unpacked to packed; empty slices reach 100
PARALLEL = 1e-3  # of direction cosines, which are stored with few digits
REQUIRED = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
PRIVATE = ("PatientID", "PatientBirthDate", "AccessionNumber", "StudyID")


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


def require_extra() -> ModuleType:
    """Return pydicom, which the extra ``dicom`` installs.

    Raises:
        InputError: when the extra is not installed.
    """
    try:
        import dcm2niix  # noqa: F401
        import pydicom
    except ImportError as error:
        raise InputError(
            f"DICOM needs packages that are not installed ({error.name}): pip install 'pkdr-monai[dicom]'."
        ) from error
    return pydicom


def holds_dicom(path: str | Path) -> bool:
    """Tell whether a path is a zip, or a folder with a DICOM file and without a NIfTI file; no header is read.

    Example:
        >>> import tempfile
        >>> holds_dicom(tempfile.mkdtemp())
        False
    """
    path = Path(path)
    if path.is_file():
        return zipfile.is_zipfile(path)
    found = False
    for file in _files_below(path):
        if file.name.lower().endswith((".nii", ".nii.gz")):
            return False
        found = found or _is_dicom(file)
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(names))


def _is_dicom(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            file.seek(MAGIC_PLACE)
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise InputError(
            f"a file of the input cannot be read: {error.strerror or error}. Check its permissions."
        ) from error


def unpack_zip(path: Path, folder: Path) -> None:
    """Write the files of a zip into a folder, each under a number for its name; every member is checked before.

    Raises:
        InputError: when the zip is damaged, encrypted or too large, or a member leads out of it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _refuse_members(members)
            left = LARGEST_ZIP
            for number, member in enumerate(members):
                with archive.open(member) as packed, (folder / f"{number:06d}").open("wb") as file:
                    while block := packed.read(2**20):
                        left -= len(block)
                        if left < 0:  # whatever the sizes in its directory say
                            raise InputError(_too_large())
                        file.write(block)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise InputError(f"the zip is damaged ({error}): pack the DICOM folder again.") from error


def _refuse_members(members: Sequence[zipfile.ZipInfo]) -> None:
    for number, member in enumerate(members, start=1):
        parts = re.split(r"[/\\]", member.filename)
        if member.flag_bits & 1:
            raise InputError("the zip is encrypted: unpack it with its password, and give the folder.")
        if ".." in parts or not parts[0] or ":" in parts[0] or stat.S_ISLNK(member.external_attr >> 16):
            raise InputError(f"member {number} of the zip leads out of it or is a link: pack the DICOM folder again.")
    unpacked, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    if unpacked > LARGEST_ZIP or unpacked > LARGEST_RATIO * max(packed, 2**20):
        raise InputError(_too_large())


def _too_large() -> str:
    return f"the zip unpacks to more than {LARGEST_ZIP // 2**30} GiB or {LARGEST_RATIO} times its size: give a folder."


def read_series(folder: Path) -> list[Series]:
    """Read the headers of all DICOM files below a folder, and group them by series.

    Args:
        folder: the folder; files that are not DICOM are passed over.

    Returns:
        The series, by their numbers.

    Raises:
        InputError: when there is no DICOM file, one is damaged, or they belong to several studies or patients.
    """
    pydicom = require_extra()
    headers: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    with quiet_pydicom():
        for path in _files_below(folder):
            if _is_dicom(path):
                dataset = _read(pydicom, path)
                if dataset is not None:
                    headers[str(dataset.get("SeriesInstanceUID", ""))].append((path, dataset))
        if not headers:
            raise InputError("the input holds no DICOM image: give the folder or the zip of one study.")
        found = [_series(uid, members) for uid, members in headers.items()]
    for what, values in (("patients", {one.patient for one in found}), ("studies", {one.study for one in found})):
        if len(values) > 1:
            raise InputError(f"the input holds {len(values)} {what}: give the folder of one study of one patient.")
    return sorted(found, key=lambda one: (int(one.number) if one.number.isdigit() else 0, one.uid))


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from telling of values that the standard forbids, with paths that may name a patient."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _read(pydicom: ModuleType, path: Path) -> Any:
    """Return the header of a file, or ``None`` for a DICOMDIR."""
    try:
        with path.open("rb") as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True)
            rest = path.stat().st_size - file.tell()  # the pixels, since the reader stops before them
        if str(dataset.file_meta.get("MediaStorageSOPClassUID", "")) == DIRECTORY_CLASS:
            return None
        missing = [word for word in REQUIRED if not dataset.get(word)]
        if missing:
            raise KeyError(missing[0])
        complete = _is_complete(dataset, rest)
    except Exception as error:  # pydicom hands on whatever a broken file raises in its parser
        raise InputError(f"{_name(path)} is damaged ({type(error).__name__}): export the study again.") from error
    if not complete:
        raise InputError(f"{_name(path)} is truncated: export the study again.")
    return dataset


def _name(path: Path) -> str:
    return f"the DICOM file whose SHA-256 begins with {file_hash(path)[:12]}"


def _is_complete(dataset: Any, rest: int) -> bool:
    if "Rows" not in dataset or str(dataset.file_meta.get("TransferSyntaxUID", "")) not in UNCOMPRESSED:
        return True
    bits = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames", 1) or 1)
    bits *= int(dataset.get("SamplesPerPixel", 1) or 1) * int(dataset.BitsAllocated)
    return rest >= bits // 8


def _series(uid: str, members: Sequence[tuple[Path, Any]]) -> Series:
    first = members[0][1]
    identity = [str(first.get("PatientID", "")), str(first.get("PatientName", ""))]
    facts = _facts([dataset for _, dataset in members])
    number = first.get("SeriesNumber")
    return Series(
        uid=uid,
        study=str(first.get("StudyInstanceUID", "")),
        patient=content_hash(identity),
        number="" if number is None else str(number),
        files=tuple(path for path, _ in members),
        facts=facts,
    )


def _facts(datasets: Sequence[Any]) -> Facts:
    first = datasets[0]
    places = [place for dataset in datasets for place in _places(dataset)]
    normals = _distinct_normals(places)
    echoes = {value for dataset in datasets for value in _numbers(dataset, "EchoTime", "EffectiveEchoTime")}
    b_values = {value for dataset in datasets for value in _numbers(dataset, "DiffusionBValue")}
    return Facts(
        modality=str(first.get("Modality", "")),
        sop_class=str(getattr(first.get("SOPClassUID", ""), "name", "")).removesuffix(" Storage"),
        description=_without_names(str(first.get("SeriesDescription", "")), first),
        sequence=" ".join(str(_value(first, word) or "") for word in ("SequenceName", "PulseSequenceName")).strip(),
        scanning=_scanning(first),
        variant=_words(first, "SequenceVariant") + ("SP",) * (_value(first, "Spoiling") not in (None, "NONE")),
        te=tuple(sorted(echoes)),
        tr=next(iter(_numbers(first, "RepetitionTime")), None),
        ti=next(iter(_numbers(first, "InversionTime", "InversionTimes")), None),
        image_type=tuple(str(word).upper() for word in first.get("ImageType", None) or ()),
        contrast=str(_value(first, "AcquisitionContrast") or "").upper(),
        agent=_agent(first),
        diffusion=any(value > 0 for value in b_values),
        slices=max(len(places), len(datasets)),
        directions=len(normals),
        gaps=len(normals) == 1 and _has_gaps(places, normals[0]),
    )


def _groups(dataset: Any, every: bool = False) -> Iterator[Any]:
    """Yield where an attribute may stand: at the top, in the shared and in each or the first frame's groups."""
    yield dataset
    for word in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        items = dataset.get(word) or ()
        for item in items if every else items[:1]:
            yield from (nested.value[0] for nested in item if nested.VR == "SQ" and nested.value)


def _value(dataset: Any, word: str) -> Any:
    for group in _groups(dataset):
        if word in group and group[word].value not in (None, ""):
            return group[word].value
    return None


def _numbers(dataset: Any, *words: str) -> list[float]:
    found = []
    for group in _groups(dataset, every=True):
        for word in words:
            value = group.get(word)
            values = (
                []
                if value is None or value == ""
                else list(value)
                if isinstance(value, Sequence) and not isinstance(value, str)
                else [value]
            )
            found += [round(float(number), 3) for number in values]
    return found


def _words(dataset: Any, word: str) -> tuple[str, ...]:
    value = _value(dataset, word)
    return () if value is None else (str(value),) if isinstance(value, str) else tuple(map(str, value))


def _scanning(dataset: Any) -> tuple[str, ...]:
    """Return ScanningSequence, or what an enhanced object says in its place."""
    found = _words(dataset, "ScanningSequence")
    if found:
        return found
    kind = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(
        str(_value(dataset, "EchoPulseSequence")), ()
    )
    inverted = ("IR",) * (_value(dataset, "InversionRecovery") == "YES")
    planar = ("EP",) * (_value(dataset, "EchoPlanarPulseSequence") == "YES")
    return (*kind, *inverted, *planar)


def _agent(dataset: Any) -> str | None:
    named = dataset.get("ContrastBolusAgent")
    items = dataset.get("ContrastBolusAgentSequence")
    if items:
        return str(items[0].get("CodeMeaning", "") or "named by a code")
    told = agent_named(None if named is None else str(named))
    return _without_names(told, dataset) if told else told


def _places(dataset: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the position and the normal of each image in a file."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if not frames:
        found = [(dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient"))]
    else:
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
        found = [
            (
                _nested(frame, shared, "PlanePositionSequence", "ImagePositionPatient"),
                _nested(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient"),
            )
            for frame in frames
        ]
    return [
        (np.array(position, float), np.cross(np.array(axes, float)[:3], np.array(axes, float)[3:]))
        for position, axes in found
        if position is not None and axes is not None and len(position) == 3 and len(axes) == 6
    ]


def _nested(frame: Any, shared: Any, sequence: str, word: str) -> Any:
    for group in (frame, shared):
        if group is not None and group.get(sequence):
            return group[sequence].value[0].get(word)
    return None


def _distinct_normals(places: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    normals: list[np.ndarray] = []
    for _, normal in places:
        if not any(np.abs(normal - known).max() < PARALLEL for known in normals):
            normals.append(normal)
    return normals


def _has_gaps(places: Sequence[tuple[np.ndarray, np.ndarray]], normal: np.ndarray) -> bool:
    """Tell whether slices are missing: distances that differ by more than a tenth. Repeated places count once."""
    depths = np.unique(np.round([float(position @ normal) for position, _ in places], 2))
    steps = np.diff(depths)
    return bool(steps.size and steps.max() > 1.1 * steps.min())


def _without_names(text: str, dataset: Any) -> str:
    """Return free text without the words that name a person of this file, and without control characters."""
    private = [str(element.value) for element in dataset if element.VR == "PN" and element.value]
    private += [str(dataset.get(word, "") or "") for word in PRIVATE]
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    for word in {word for value in private for word in re.split(r"[\W_]+", value) if len(word) > 1}:
        bound = "" if len(word) > 3 else r"(?![^\W_])"
        text = re.sub(("" if len(word) > 3 else r"(?<![^\W_])") + re.escape(word) + bound, "***", text, flags=re.I)
    return text.strip()
