"""SimpleITK, which the extra ``prepare`` installs: volumes as its images, and its filters on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from pkdr_monai.data.geometry import voxel_sizes
from pkdr_monai.errors import InputError
from pkdr_monai.prepare.conversion import Volume

__all__ = ["LPS", "itk_image", "itk_voxels", "one_thread", "require_simpleitk"]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From positions in RAS, as NIfTI has them, to those in LPS, as ITK has them, and back."""


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
