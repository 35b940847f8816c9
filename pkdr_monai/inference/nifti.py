"""Write a volume on the very grid of another file, whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pkdr_monai.files import atomic_write

__all__ = ["write_like"]

COMPRESSION = 3  # higher levels take several times as long for a few percent
GEOMETRY = (
    *("pixdim", "xyzt_units", "qform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "sform_code", "srow_x", "srow_y", "srow_z"),
)
NOTE = b"PKDR; research software, not a medical device"


def write_like(path: Path, volume: np.ndarray, source: Path) -> None:
    """Write a volume with the geometry of a source file, as ``.nii.gz``, atomically.

    Orientation, spacing and both affines are copied; the header's free text, which may name a patient, is not.

    Args:
        path: file to write.
        volume: ``(X, Y, Z)``, or ``(X, Y, Z, C)``, in the type to store.
        source: NIfTI file whose grid has ``(X, Y, Z)`` voxels.
    """
    geometry: Any = nib.load(source).header
    header = nib.Nifti1Header()
    for name in GEOMETRY:
        header[name] = geometry[name]
    header.set_data_shape(volume.shape)
    header.set_data_dtype(volume.dtype)
    header["pixdim"][4:] = 1
    header["descrip"] = NOTE
    image = nib.Nifti1Image(volume, None, header)  # without an affine of its own, it has the header's
    with atomic_write(path) as file:
        file.write(gzip.compress(image.to_bytes(), COMPRESSION, mtime=0))
