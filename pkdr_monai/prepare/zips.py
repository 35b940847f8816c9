"""A zip of DICOM files, unpacked with every member checked before."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from pkdr_monai.errors import InputError

__all__ = ["unpack_zip"]

LARGEST_ZIP = 20 * 2**30  # bytes unpacked; a study of a head has about one
LARGEST_RATIO = 200  # unpacked to packed; empty slices reach 100


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
