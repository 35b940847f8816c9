"""DICOM files in a folder or a zip, found and read; messages about them do not name the patient."""

from __future__ import annotations

import logging
import os
import re
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash

__all__ = ["files_below", "holds_dicom", "is_dicom", "quiet_pydicom", "read_dicom", "require_extra", "unpack_zip"]

MAGIC_PLACE, MAGIC = 128, b"DICM"
FIRST_GROUP = 0x0008
FIRST_ELEMENTS = (0x0000, 0x0001, 0x0005, 0x0008, 0x0016)  # length of the group, character set, image type, class
LONGEST_FIRST = 256  # bytes of the first of these
DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # a DICOMDIR
UNCOMPRESSED = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
REQUIRED = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
LARGEST_ZIP = 20 * 2**30  # bytes unpacked; a study of a head has about one
LARGEST_RATIO = 200  # unpacked to packed; empty slices reach 100


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
    """Return whether a path is a zip, or a folder with a DICOM file and without a NIfTI file; no header is read.

    Example:
        >>> import tempfile
        >>> holds_dicom(tempfile.mkdtemp())
        False
    """
    path = Path(path)
    if path.is_file():
        return zipfile.is_zipfile(path)
    found = False
    for file in files_below(path):
        if file.name.lower().endswith((".nii", ".nii.gz")):
            return False
        found = found or is_dicom(file)
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in the order of their names."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(names))


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM: by its magic word, or by its first element where it lacks the preamble.

    Raises:
        InputError: when it cannot be read.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(MAGIC_PLACE + len(MAGIC))
    except OSError as error:
        raise InputError(
            f"a file of the input cannot be read: {error.strerror or error}. Check its permissions."
        ) from error
    return start[MAGIC_PLACE:] == MAGIC or _begins_with_an_element(start)


def _begins_with_an_element(start: bytes) -> bool:
    """Return whether a file begins with an element of group 8, which comes first where there is no file meta group."""
    if len(start) < MAGIC_PLACE:
        return False
    group, element = struct.unpack("<HH", start[:4])
    if group != FIRST_GROUP or element not in FIRST_ELEMENTS:
        return False
    explicit = start[4:6] in (b"UL", b"CS", b"UI")
    (length,) = struct.unpack("<H", start[6:8]) if explicit else struct.unpack("<I", start[4:8])
    return length <= LONGEST_FIRST


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning of values that the standard forbids, with paths that may name a patient."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def read_dicom(path: Path) -> Any:
    """Return the header of a file, or ``None`` for a DICOMDIR.

    Raises:
        InputError: when the file is damaged or truncated, naming it by its hash.
    """
    pydicom = require_extra()
    try:
        with path.open("rb") as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
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
    if "Rows" not in dataset or _is_compressed(dataset):
        return True
    bits = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames", 1) or 1)
    bits *= int(dataset.get("SamplesPerPixel", 1) or 1) * int(dataset.BitsAllocated)
    return rest >= bits // 8


def _is_compressed(dataset: Any) -> bool:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    return syntax is not None and str(syntax) not in UNCOMPRESSED


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
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:  # the last: unknown compression
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
