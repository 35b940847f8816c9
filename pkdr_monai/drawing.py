"""How scans and regions are drawn everywhere: one palette and one orientation."""

from __future__ import annotations

import nibabel as nib
import numpy as np

__all__ = ["PLANES", "REGION_COLOURS", "in_ras", "plane"]

REGION_COLOURS = {"wt": "#56b4e9", "tc": "#e69f00", "et": "#d55e00"}
"""Colour of each region: sky blue, orange and vermilion of Okabe and Ito, distinct for colour-blind readers."""

PLANES = ("sagittal", "coronal", "axial")
"""Planes across the axes X, Y, Z of a volume in RAS."""


def plane(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    """Return a slice in radiological convention: the patient's left on the right, the face on the left, the head up.

    Args:
        volume: in RAS, ``(X, Y, Z)``; see :func:`in_ras`.
        axis: 0 for a sagittal, 1 for a coronal, 2 for an axial plane.
        index: which slice.

    Returns:
        The slice, its first row on top. An axial one has the face on top.

    Example:
        >>> volume = np.zeros((2, 2, 2))
        >>> volume[0, 1, 1] = 1  # left, front, top
        >>> plane(volume, 0, 0).tolist(), plane(volume, 1, 1).tolist()
        ([[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]])
    """
    return np.take(volume, index, axis=axis).T[::-1, ::-1]


def in_ras(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a volume so that its axes run to the right, the front and the top.

    Args:
        volume: ``(X, Y, Z)``, on any axes.
        affine: voxel index to position in mm, ``(4, 4)``.

    Returns:
        The volume and the size of its voxels in mm.
    """
    turn = nib.orientations.io_orientation(affine)
    sizes = np.empty(3)
    sizes[turn[:, 0].astype(int)] = nib.affines.voxel_sizes(affine)
    return nib.apply_orientation(volume, turn), sizes
