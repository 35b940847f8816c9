"""Cases prepared once, in parallel, and kept in memory, on the disk or on the device."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import numpy as np
import torch

from pkdr_monai.data.preprocessing import IMAGE, LABEL
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, file_hash, read_json, write_json
from pkdr_monai.terminal import ProgressLine

__all__ = [
    "STORAGES",
    "BrokenCaseError",
    "FileHashes",
    "Prepare",
    "StoredArray",
    "cache_cases",
    "read_case",
    "remove_case",
    "write_case",
]

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
    """Delete a case atomically; safe if another process does so at the same time."""
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


SETTLED = 2.0  # seconds; a file touched more recently may be touched again within one tick of the disk's clock


class FileHashes:
    """Hash files by their content, and remember it by path, size and both times of change.

    Args:
        path: file to remember in. One that is absent or damaged costs reading the files again, nothing else.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "scan").write_bytes(b"")
        >>> FileHashes(folder / "hashes.json").of(folder / "scan")[:12]
        'e3b0c44298fc'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = _read(path)
        self._new: dict[str, dict[str, Any]] = {}

    def of(self, file: Path) -> str:
        """Return the SHA-256 of a file.

        Raises:
            InputError: when it cannot be read.
        """
        try:
            status = file.stat()
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror or error}. Check the path.") from error
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        known = self._known.get(str(file), {})
        if known.get("stamp") == stamp:
            return known["sha256"]
        digest = file_hash(file)
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED:
            self._new[str(file)] = {"stamp": stamp, "sha256": digest}
        return digest

    def save(self) -> None:
        """Write what was learnt, beside what another process may have written meanwhile."""
        if self._new:
            write_json(self.path, {**_read(self.path), **self._new})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}


STORAGES = ("memory", "disk", "device")
MOST_THREADS = 8  # a BraTS case in preparation takes 0.15 GB, or 0.55 GB where it is resampled
HASHES = "hashes.json"

logger = logging.getLogger("pkdr_monai")

Item = Mapping[str, Any]


class Prepare(Protocol):
    """What makes the arrays of a case, such as :class:`~pkdr_monai.caching.preparation.Preparation`."""

    settings: Mapping[str, Any]
    """All that the arrays depend on but for the files, as plain data."""

    def __call__(self, item: Item) -> Mapping[str, np.ndarray]:
        """Return arrays ``(C, X, Y, Z)`` by name."""


def cache_cases(
    items: Sequence[Item],
    prepare: Prepare,
    storage: str = "memory",
    folder: str | Path = "cache",
    device: torch.device | str = "cpu",
    threads: int | None = None,
    doing: str = "caching",
) -> list[dict[str, Any]]:
    """Prepare cases, several at once, and return them in their order, each array where a crop is quickly taken.

    ``"memory"`` and ``"device"`` keep tensors, and prepare them at each start. ``"disk"`` keeps files below ``folder``,
    one folder a case, named after the content of the case's own files and the settings of ``prepare``, wherever the
    files lie: a changed file or setting makes another folder. What is there is compared with its checksum, and made
    again where it differs. Several processes may fill and use one folder; each begins with another case.

    Args:
        items: as :func:`pkdr_monai.data.training_items` makes them.
        prepare: what makes the arrays of a case.
        storage: ``"memory"``, ``"disk"`` or ``"device"``.
        folder: for ``"disk"``, where to keep the arrays; the same for all runs. It holds images of patients.
        device: for ``"device"``, where the network computes.
        threads: cases prepared at once; by default as many as there are cores, 8 at most.
        doing: what the line of progress says is going on.

    Returns:
        For each item a copy with arrays in place of its files: tensors, or
        :class:`~pkdr_monai.caching.case_cache.StoredArray`. All have a ``shape`` and can be sliced.

    Raises:
        InputError: when the storage is unknown, lacks a package or room, or a case cannot be read.
    """
    if storage not in STORAGES:
        raise InputError(f"unknown cache_storage {storage!r}: choose among {', '.join(STORAGES)}.")
    if storage == "disk":
        _require_blosc2()
        hashes = FileHashes(Path(folder) / HASHES)
        make: Callable[[Item], Mapping[str, Any]] = partial(_on_disk, prepare, Path(folder), hashes)
    else:
        make = partial(_in_memory, prepare, torch.device(device if storage == "device" else "cpu"))
    cases = _in_parallel(make, items, threads or min(MOST_THREADS, _cores()), doing)
    if storage == "disk":
        hashes.save()
    _log(cases, storage, folder)
    return cases


def _in_parallel(make: Callable[[Item], Mapping[str, Any]], items: Sequence[Item], threads: int, doing: str) -> list:
    cases: list[dict[str, Any]] = [{} for _ in items]
    order = list(range(len(items)))
    random.Random(os.getpid()).shuffle(order)  # processes that fill one folder meet at few cases
    progress = ProgressLine(doing) if idist.get_rank() == 0 else None
    pool = ThreadPoolExecutor(threads)
    try:
        futures = {pool.submit(make, items[number]): number for number in order}
        for done, future in enumerate(as_completed(futures), start=1):
            number = futures[future]
            cases[number] = {**items[number], **future.result()}
            if progress is not None:
                progress(done, len(items))
    finally:
        pool.shutdown(cancel_futures=True)
    return cases


def _in_memory(prepare: Prepare, device: torch.device, item: Item) -> dict[str, torch.Tensor]:
    arrays = {name: torch.from_numpy(array) for name, array in prepare(item).items()}
    try:
        return {name: array.to(device) for name, array in arrays.items()}
    except torch.OutOfMemoryError as error:
        raise InputError(f"the cases do not fit on {device}: take the cache_storage memory or disk.") from error


def _on_disk(prepare: Prepare, folder: Path, hashes: FileHashes, item: Item) -> dict[str, StoredArray]:
    place = folder / _key(prepare, hashes, item)
    if place.exists():
        try:
            return read_case(place)
        except BrokenCaseError as error:
            logger.warning("Case %s in the cache: %s. It is made again.", item.get("case"), error)
            remove_case(place)
    write_case(place, prepare(item))
    try:
        return read_case(place)
    except BrokenCaseError as error:
        raise InputError(f"what was written to the cache came back changed ({error}): check the disk.") from error


def _key(prepare: Prepare, hashes: FileHashes, item: Item) -> str:
    files = {}
    for content in (IMAGE, LABEL):
        paths = item.get(content, [])
        files[content] = [hashes.of(Path(path)) for path in ([paths] if isinstance(paths, str) else paths)]
    known = {"files": files, "channels": item.get("channels"), "settings": prepare.settings}
    if "geometry" in item:
        known["geometry"] = item["geometry"]
    return content_hash(known)[:32]


def _require_blosc2() -> None:
    if find_spec("blosc2") is None:
        raise InputError(
            "the cache_storage disk needs blosc2: `pip install 'pkdr-monai[fast]'`, or take memory or device."
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _log(cases: Sequence[Mapping[str, Any]], storage: str, folder: str | Path) -> None:
    held = 0
    for case in cases:
        for array in case.values():
            if isinstance(array, StoredArray):
                held += array.path.stat().st_size
            elif isinstance(array, torch.Tensor):
                held += array.nbytes
    where = f"in {folder}" if storage == "disk" else f"as {storage}"
    logger.info("Cached %d cases %s: %.3g GB.", len(cases), where, held / 1e9)
