"""A volume: its voxels and their places, read, written, and as an image of SimpleITK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pkdr_monai.data.geometry import voxel_sizes
from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.errors import InputError
from pkdr_monai.files import writing_to
from pkdr_monai.inference.nifti import write_nifti

__all__ = [
    "LPS",
    "Volume",
    "itk_image",
    "itk_voxels",
    "one_thread",
    "read_volume",
    "require_simpleitk",
    "write_volume",
]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From positions in RAS, as NIfTI has them, to those in LPS, as ITK has them, and back."""


@dataclass(frozen=True)
class Volume:
    """Voxels and where they lie.

    Args:
        voxels: ``(X, Y, Z)``.
        affine: voxel index to position in mm, ``(4, 4)``.
    """

    voxels: np.ndarray
    affine: np.ndarray


def read_volume(path: Path, name: str, channel: int | None = None) -> Volume:
    """Read one 3-D image of a NIfTI file, floating-point numbers as float32.

    Args:
        path: the file.
        name: what messages call it.
        channel: the one to take of a 4-D file.

    Raises:
        InputError: when it cannot be read, or is not one 3-D volume.
    """
    try:
        header, voxels = read_header(path), read_voxels(path)
    except UnreadableError as error:
        raise error.of(name) from error
    if channel is not None:
        voxels = voxels[..., channel]
    if voxels.ndim != 3 or min(voxels.shape) < 2:
        shape = ", ".join(map(str, voxels.shape))
        raise InputError(f"{name} has the shape ({shape}), expected one 3-D volume: choose another.")
    if voxels.dtype.kind == "f":
        voxels = voxels.astype(np.float32)
    return Volume(np.asarray(voxels), header.affine)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume as ``.nii.gz``, the same bytes for the same content, atomically.

    Raises:
        InputError: when it cannot be written.
    """
    with writing_to(path):
        write_nifti(path, volume.voxels, volume.affine)


def require_simpleitk(need: str, otherwise: str) -> ModuleType:
    """Return SimpleITK.

    Args:
        need: what needs it, for the message.
        otherwise: how to do without, for the message.

    Raises:
        InputError: when it is not installed.
    """
    try:
        import SimpleITK
    except ImportError as error:
        raise InputError(f"{need} needs SimpleITK: pip install 'pkdr-monai[prepare]', or {otherwise}.") from error
    return SimpleITK


@contextmanager
def one_thread(sitk: ModuleType) -> Iterator[None]:
    """Let no sum depend on which thread comes first."""
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def itk_image(sitk: ModuleType, volume: Volume) -> Any:
    """Return a volume as SimpleITK's image, float32, placed in LPS."""
    affine = LPS @ volume.affine
    sizes = voxel_sizes(affine)
    left, _, right = np.linalg.svd(affine[:3, :3] / sizes)  # SimpleITK wants axes at right angles to many digits
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.voxels.transpose(2, 1, 0), dtype=np.float32))
    image.SetSpacing(sizes.tolist())
    image.SetDirection((left @ right).flatten().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def itk_voxels(sitk: ModuleType, image: Any) -> np.ndarray:
    """Return the voxels of SimpleITK's image, ``(X, Y, Z)``."""
    return np.asarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0))
