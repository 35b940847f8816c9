"""Read NIfTI files that may be broken: a header first, voxels only where the header can be true."""

from __future__ import annotations

import gzip
import math
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pkdr_monai.data.geometry import counted_affine
from pkdr_monai.data.problems import UnreadableError

__all__ = ["Header", "UnreadableError", "describe_shape", "read_header", "read_once", "read_voxels", "squeezed"]

MAX_BYTES = 8 * 2**30  # of one volume; BraTS has 18 MB, and all four modalities of the Decathlon 143 MB
MAX_EXTENT = 600.0  # mm; no head is larger, and resampling to 1 mm would take more memory than there is
GZIP_RATIO = 1032  # deflate cannot compress further, so a header that claims more is wrong
WRITE_ANEW = "copy or download it again"
CHUNK = 2**24  # bytes decompressed at once
SHORTEST_GZIP = 18  # bytes: its header and its checksum
MAGIC = b"\x1f\x8b"  # what a gzip begins with

_kept: ContextVar[dict[tuple[str, int, int], np.ndarray] | None] = ContextVar("voxels read in this block", default=None)

open_gzip: Any = gzip.open
damaged: tuple[Any, ...] = (zlib.error, gzip.BadGzipFile)
if find_spec("isal"):  # the extra "fast": the same format, decompressed in a third of the time
    from isal import igzip, isal_zlib

    open_gzip, damaged = igzip.open, (*damaged, isal_zlib.error)


@dataclass(frozen=True)
class Header:
    """The part of a NIfTI header that a check needs.

    Args:
        shape: number of voxels along each axis; axes of length 1 after the third are left out.
        affine: voxel index to position in mm, ``(4, 4)``: the one that counts.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm³."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))


@np.errstate(all="ignore")  # numbers that overflow are refused, and no cause for a warning
def read_header(path: Path, geometry: str = "header") -> Header:
    """Read the header of a NIfTI file, and refuse one that cannot be true. No voxel is read.

    Args:
        path: the file.
        geometry: which affine of the header to use, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

    Raises:
        UnreadableError: when the file is absent, empty, no NIfTI, its header and its size contradict each other, or its
            header states two geometries.
    """
    image = _open(path)
    stored = tuple(int(size) for size in image.shape)
    if not stored or min(stored) < 1:
        raise UnreadableError(f"its header claims the shape {describe_shape(stored)}")
    _refuse_impossible_size(path, image, stored)
    shape = squeezed(stored)
    affine = counted_affine(image.header, _stored_sizes(path, image), geometry)
    if not np.isfinite(affine).all() or not 1e-9 <= abs(np.linalg.det(affine[:3, :3])) < math.inf:
        raise UnreadableError("its affine has no inverse (a voxel size of 0 or NaN)", "write it with a valid affine")
    _refuse_impossible_extent(shape, affine)
    return Header(shape, affine)


@contextmanager
def read_once() -> Iterator[None]:
    """Read the voxels of each file once within this block, however often :func:`read_voxels` is asked for them.

    Checking, segmenting and drawing a scan need the same voxels, and decompressing them takes longer than all else but
    the network. The voxels of the files that were read stay in memory until the block ends.

    Example:
        >>> with read_once():
        ...     pass  # check_cases, scan_probabilities, write_results
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def read_voxels(path: Path) -> np.ndarray:
    """Read the voxels of a file whose header :func:`read_header` accepts, to the end of a gzip, where its checksum is.

    Returns:
        Voxels in the type they are stored in, or in float64 where the header scales them, in the shape of the header.
        The caller may change them.

    Raises:
        UnreadableError: when the file is truncated or damaged.
    """
    kept = _kept.get()
    if kept is None:
        return _read_voxels(path)
    state = path.stat()
    key = str(path.absolute()), state.st_size, state.st_mtime_ns
    if key not in kept:
        kept[key] = _read_voxels(path)
    return kept[key].copy(order="K")


@np.errstate(all="ignore")
def _read_voxels(path: Path) -> np.ndarray:
    kind = type(_open(path))
    try:
        voxels = _voxels(path, kind, open_gzip)
    except Exception as error:  # nibabel hands on whatever a broken file raises in gzip, zlib, struct or NumPy
        if not _ends_whole(path):
            raise UnreadableError(_what_went_wrong(error)) from error
        voxels = _voxels_before_the_rest(path, kind)
    return voxels.reshape(squeezed(voxels.shape), order="A")


def _voxels(path: Path, kind: type[nib.Nifti1Image], open_file: Any, to_the_end: bool = True) -> np.ndarray:
    with _without_log(), open_file(path) if _is_gzip(path) else path.open("rb") as stream:
        voxels = np.asanyarray(kind.from_stream(stream).dataobj)
        if to_the_end:
            stream.read(1)  # one byte past the voxels, or gzip does not compare its checksum
    return voxels


def _voxels_before_the_rest(path: Path, kind: type[nib.Nifti1Image]) -> np.ndarray:
    """Read a gzip that is whole and has other bytes after its end: igzip meets them early, gzip only at the end."""
    try:
        return _voxels(path, kind, gzip.open, to_the_end=False)
    except Exception as error:
        raise UnreadableError(_what_went_wrong(error)) from error


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without the axes of length 1 after the third, which some programs write.

    Example:
        >>> squeezed((240, 240, 1, 1, 1)), squeezed((240, 240, 155, 1, 4))
        ((240, 240, 1), (240, 240, 155, 4))
    """
    return (*shape[:3], *(size for size in shape[3:] if size != 1))


def _open(path: Path) -> nib.Nifti1Image:
    """Let nibabel read the header, and turn whatever a broken file makes it raise into one sentence."""
    try:
        if path.stat().st_size == 0:
            raise UnreadableError("the file is empty")
        if _is_gzip(path) and not _starts_like_gzip(path):
            raise UnreadableError("it is named .gz but is not compressed by gzip", "name it .nii, or " + WRITE_ANEW)
        if not _is_gzip(path) and _starts_like_gzip(path):
            raise UnreadableError("it is compressed by gzip but not named .gz", "name it .nii.gz")
        with _without_log():
            image = nib.load(path)
    except UnreadableError:
        raise
    except Exception as error:
        raise UnreadableError(_what_went_wrong(error)) from error
    if not isinstance(image, nib.Nifti1Image):
        raise UnreadableError(f"it is a {type(image).__name__}, not a NIfTI-1 or NIfTI-2 file", "convert it to NIfTI")
    if image.get_data_dtype().kind not in "iuf":
        raise UnreadableError(f"its voxels are {image.get_data_dtype()}, not plain numbers", "convert it to float32")
    return image


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep nibabel from logging what it repairs in a header, in this thread and no other."""
    was_silent, _log_state.silent = getattr(_log_state, "silent", False), True
    try:
        yield
    finally:
        _log_state.silent = was_silent


_log_state = threading.local()
nib.imageglobals.logger.addFilter(lambda record: not getattr(_log_state, "silent", False))


def _refuse_impossible_size(path: Path, image: nib.Nifti1Image, shape: tuple[int, ...]) -> None:
    proxy: Any = image.dataobj  # has the offset that the file states; nibabel's header forgets it
    voxels = f"{describe_shape(shape)} voxels"
    claimed = math.prod(shape) * image.get_data_dtype().itemsize
    held = path.stat().st_size
    if _is_gzip(path):
        if claimed > GZIP_RATIO * held:
            raise UnreadableError(f"its header claims {voxels}, more than {held:,} bytes of gzip can hold")
    elif claimed + proxy.offset > held:
        raise UnreadableError(f"it is truncated: {voxels} take {claimed:,} bytes, the file has {held:,}")
    scaled = (proxy.slope, proxy.inter) != (1, 0)  # nibabel makes float64 of it
    needed = math.prod(shape) * 8 if scaled else claimed
    if needed > MAX_BYTES:
        raise UnreadableError(
            f"its header claims {needed / 2**30:,.0f} GiB ({voxels}), more than the limit of {MAX_BYTES / 2**30:.0f}",
            "check the header; resample or crop the volume if it is true",
        )


def _stored_sizes(path: Path, image: nib.Nifti1Image) -> list[float]:
    """Return the three voxel sizes as the file has them: nibabel turns a 0 into 1 as it reads."""
    try:
        with gzip.open(path) if _is_gzip(path) else path.open("rb") as stream:
            header: Any = type(image.header).from_fileobj(stream, check=False)
    except Exception as error:
        raise UnreadableError(_what_went_wrong(error)) from error
    return [float(size) for size in header["pixdim"][1:4]]


def _refuse_impossible_extent(shape: tuple[int, ...], affine: np.ndarray) -> None:
    widest = max(np.linalg.norm(affine[:3, :3], axis=0) * (*shape, 1, 1)[:3])
    if not widest <= MAX_EXTENT:  # NaN neither
        raise UnreadableError(
            f"its voxels reach over {widest:,.0f} mm along an axis, more than the limit of {MAX_EXTENT:.0f}",
            "check its voxel size, which is in mm",
        )


def _ends_whole(path: Path) -> bool:
    """Return whether a gzip is whole and sound, whatever lies after its end."""
    if not _is_gzip(path):
        return False
    content = path.read_bytes()
    try:
        while content.startswith(MAGIC):
            member = zlib.decompressobj(wbits=31)
            rest = member.decompress(content, CHUNK)
            while rest and not member.eof:
                rest = member.decompress(member.unconsumed_tail, CHUNK)
            if not member.eof:
                return len(content) < SHORTEST_GZIP  # too few bytes for a gzip that was cut: something else
            content = member.unused_data
    except zlib.error:
        return False
    return True


def _what_went_wrong(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "it is truncated: the data ends too early"
    if isinstance(error, damaged):
        return f"its compressed data is damaged ({error})"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be opened ({error.strerror})"
    message = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"it is not a readable NIfTI file ({message})"


def _is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _starts_like_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == MAGIC


def describe_shape(shape: tuple[int, ...]) -> str:
    """Write a shape as people do, ``240x240x155``."""
    return "x".join(map(str, shape))
