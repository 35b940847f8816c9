"""The voxels of a phantom's image: where they lie in the head, and in the scanner's world."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.lattice import Array

__all__ = ["SHAPE", "SPACING", "ImageGrid"]

SHAPE = (240, 240, 155)
"""Size of BraTS's images, in voxels."""
SPACING = (1.0, 1.0, 1.0)
"""Size of their voxels, in millimetres."""

SMALLEST_SIDE = 32
LARGEST_STEP_MM = 10.0  # a head in coarser voxels is a few blocks
HEAD_MM = (156.0, 190.0, 148.0)  # what must fit into the field of view
BOX_MM = (78.0, 96.0, 78.0)  # half of what may hold brain
HEAD_HEIGHT = 0.465  # where the head's centre lies between the lowest slice and the highest


class ImageGrid:
    """An image's voxels in the coordinates of the head that it shows.

    The head is centred; from below the image cuts it a little, as in BraTS. Where it does not fit, it is shrunk.

    Args:
        shape: size of the image in voxels, 32 or more on each side.
        spacing: size of a voxel, up to 10 mm.

    Raises:
        InputError: when either is out of range.

    Example:
        >>> grid = ImageGrid((240, 240, 155), (1.0, 1.0, 1.0))
        >>> grid.voxel_mm, [len(axis) for axis in grid.axes]
        (1.0, [156, 192, 150])
        >>> ImageGrid((64, 64, 64), (1.0, 1.0, 1.0)).voxel_mm  # a head a third as large
        2.96875
    """

    def __init__(self, shape: Sequence[int], spacing: Sequence[float]) -> None:
        self.shape = tuple(int(side) for side in shape)
        size = tuple(float(step) for step in spacing)
        if len(self.shape) != 3 or min(self.shape) < SMALLEST_SIDE:
            raise InputError(f"expected a shape of 3 sides of {SMALLEST_SIDE} voxels or more, got {tuple(shape)}.")
        if len(size) != 3 or not all(0.0 < step <= LARGEST_STEP_MM for step in size):
            raise InputError(
                f"expected a spacing of 3 lengths above 0 and up to {LARGEST_STEP_MM:g} mm, got {tuple(spacing)}."
            )
        fit = min(side * step / need for side, step, need in zip(self.shape, size, HEAD_MM, strict=True))
        shrink = min(1.0, fit)
        self.voxel = (size[0] / shrink, size[1] / shrink, size[2] / shrink)
        self.voxel_mm = math.prod(self.voxel) ** (1.0 / 3.0)
        self.affine = np.diag([-size[0], -size[1], size[2], 1.0])
        self.affine[1, 3] = (self.shape[1] - 1) * size[1]

        middle = (0.5 * self.shape[0], 0.5 * self.shape[1], HEAD_HEIGHT * self.shape[2])
        self.axes: list[Array] = []  # head coordinates of the box's voxels, in millimetres
        box = []
        for side, centre, step, sign, half in zip(self.shape, middle, self.voxel, (-1, -1, 1), BOX_MM, strict=True):
            axis = sign * step * (np.arange(side, dtype=np.float64) + 0.5 - centre)
            inside = np.flatnonzero(np.abs(axis) < half)
            box.append(slice(int(inside[0]), int(inside[-1]) + 1))
            self.axes.append(axis[box[-1]])
        self.box = tuple(box)

    def place(self, brain: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return a whole image that holds ``values``, ``(N,)``, where the box holds brain."""
        image = np.zeros(self.shape, dtype=values.dtype)
        image[self.box][brain] = values
        return image
