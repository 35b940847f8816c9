"""A case in a folder: an array a file, in compressed blocks, of which a crop reads those that it touches."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_json

__all__ = ["BrokenCaseError", "StoredArray", "read_case", "remove_case", "write_case"]

RECORD = "case.json"
CHUNK, BLOCK = 64, 32  # sides of what is written, and of what is decompressed, at once
LEVEL = 9  # of LZ4, which reads three times as fast as zstd and takes a third more space


class BrokenCaseError(Exception):
    """A stored case that is not as it was written."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, read piece by piece: slices give NumPy arrays.

    Args:
        path: the file.
        shape: ``(C, X, Y, Z)``.
    """

    path: Path
    shape: tuple[int, ...]

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        """Read a part.

        Raises:
            InputError: when the file was removed or damaged since :func:`read_case` looked.
        """
        import blosc2

        try:
            array: Any = blosc2.open(str(self.path), mode="r", dparams={"nthreads": torch.get_num_threads()})
            return array[index]
        except Exception as error:  # blosc2 raises what its C code and the disk think fit
            raise InputError(f"cannot read {self.path} ({error}): start again, which writes a new one.") from error


def write_case(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a case, whole or not at all; where another process was first, its copy stays.

    Args:
        folder: the case's own folder, named after what it is made of.
        arrays: by name, each ``(C, X, Y, Z)``.

    Raises:
        InputError: when there is no room, or no permission.
    """
    import blosc2

    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir(parents=True)
        described = {}
        for name, array in arrays.items():
            path = temporary / f"{name}.b2nd"
            blosc2.asarray(
                np.ascontiguousarray(array),
                urlpath=str(path),
                mode="w",
                chunks=(1, *(min(CHUNK, side) for side in array.shape[1:])),
                blocks=(1, *(min(BLOCK, side) for side in array.shape[1:])),
                cparams={"codec": blosc2.Codec.LZ4, "clevel": LEVEL, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1},
            )
            described[name] = {"shape": array.shape, "bytes": path.stat().st_size, "sha256": file_hash(path)}
        (temporary / RECORD).write_text(json.dumps({"case": folder.name, "arrays": described}), encoding="utf-8")
        _move_in(temporary, folder)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"cannot write to the cache {folder.parent} ({error}): free some space there, or name another --cache_dir."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_case(folder: Path) -> dict[str, StoredArray]:
    """Return the arrays of a case, after reading every byte once to see that it is as it was written.

    Raises:
        BrokenCaseError: when it is not.
    """
    try:
        record = read_json(folder / RECORD)
        if record["case"] != folder.name:
            raise BrokenCaseError(f"{folder} holds the case {record['case']}")
        arrays = {}
        for name, described in record["arrays"].items():
            path = folder / f"{name}.b2nd"
            if file_hash(path) != described["sha256"]:
                raise BrokenCaseError(f"{path} is truncated or damaged")
            arrays[name] = StoredArray(path, tuple(described["shape"]))
    except (InputError, LookupError, TypeError, AttributeError) as error:
        raise BrokenCaseError(f"{folder} is not whole ({error})") from error
    return arrays


def remove_case(folder: Path) -> None:
    """Take a case away, at once and completely, whoever else does so too."""
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


def _move_in(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
