"""The coarse grid in millimetres on which the anatomy is drawn, the shapes it is drawn with, and an image's voxel grid.

Whatever is smooth (distances, textures, bias fields) lives on this lattice and is sampled at the voxels of an image by
cubic interpolation. The same head therefore appears at every voxel size, and the costly geometry is done on some
200,000 nodes instead of nine million voxels.

A *depth* is a signed distance in millimetres, positive inside a structure. The arithmetic is in float64 throughout, so
that a difference in the last bit between two platforms practically never reaches an image's int16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pkdr_monai.errors import InputError

__all__ = [
    "SHAPE",
    "SPACING",
    "Array",
    "ImageGrid",
    "Lattice",
    "capsule_depth",
    "ellipsoid_depth",
    "fraction_inside",
    "sheet_distance",
    "smooth_union",
]

Array: TypeAlias = NDArray[np.float64]

NODE_MM = 3.0
HALF_EXTENT_MM = (81.0, 99.0, 81.0)
NODES_PER_CREST = 8.0
CRESTS_PER_SIGMA = 2.0 * np.pi * np.sqrt(2.0)  # white noise blurred by sigma crosses zero every pi sqrt(2) sigma


class Lattice:
    """A regular grid of nodes around the head's centre: x to the right, y to the front, z upwards, in millimetres.

    Args:
        node_mm: distance between neighbouring nodes.
        half_extent_mm: how far the nodes reach on each axis, at least.

    Example:
        >>> lattice = Lattice()
        >>> x, y, z = lattice.coordinates()
        >>> field = x + 0 * y + 0 * z
        >>> values = lattice.sample(field, (np.array([-1.5, 10.0]), np.zeros(1), np.zeros(1)))
        >>> values[:, 0, 0].round(6).tolist()
        [-1.5, 10.0]
    """

    def __init__(self, node_mm: float = NODE_MM, half_extent_mm: tuple[float, float, float] = HALF_EXTENT_MM) -> None:
        self.node_mm = node_mm
        counts = [math.ceil(half / node_mm) for half in half_extent_mm]
        self.axes: tuple[Array, ...] = tuple(node_mm * np.arange(-count, count + 1.0) for count in counts)
        self.shape: tuple[int, ...] = tuple(len(axis) for axis in self.axes)

    def coordinates(self) -> tuple[Array, Array, Array]:
        """Return the nodes' x, y and z, shaped to broadcast against each other."""
        x, y, z = self.axes
        return x[:, None, None], y[None, :, None], z[None, None, :]

    def noise(self, rng: np.random.Generator, wavelength: float) -> Array:
        """Draw a smooth random field of mean 0 and standard deviation 1.

        Args:
            rng: source of the draw.
            wavelength: typical distance between two crests, in millimetres.

        Returns:
            The field at the nodes, ``(X, Y, Z)``.
        """
        coarse_mm = max(self.node_mm, wavelength / NODES_PER_CREST)
        if coarse_mm >= 2.0 * self.node_mm:  # a long wave needs few nodes
            coarse = Lattice(coarse_mm, (self.axes[0][-1], self.axes[1][-1], self.axes[2][-1]))
            smooth = coarse.sample(coarse.noise(rng, wavelength), self.axes)
        else:
            sigma = wavelength / (CRESTS_PER_SIGMA * self.node_mm)
            smooth = ndimage.gaussian_filter(rng.standard_normal(self.shape), sigma, mode="wrap", truncate=3.5)
        smooth -= smooth.mean()
        return np.asarray(smooth / smooth.std())

    def sample(self, field: Array, at: Sequence[Array]) -> Array:
        """Interpolate a field with Catmull-Rom splines.

        Args:
            field: values at the nodes, ``(X, Y, Z)``.
            at: coordinates in millimetres along each axis, of lengths ``I``, ``J``, ``K``.

        Returns:
            Values at the grid that the three axes span, ``(I, J, K)``.
        """
        along_x, along_y, along_z = (
            _spline_weights(axis, coordinates, self.node_mm) for axis, coordinates in zip(self.axes, at, strict=True)
        )
        x, y, z = field.shape
        field = (along_x @ field.reshape(x, y * z)).reshape(-1, y, z)  # (I, Y, Z)
        field = along_y @ field  # (I, J, Z)
        return (field.reshape(-1, z) @ along_z.T).reshape(*field.shape[:2], -1)  # (I, J, K)


def ellipsoid_depth(point: Sequence[Array], centre: Sequence[float], radii: Sequence[float]) -> Array:
    """Return the depth in an axis-aligned ellipsoid: exact on its surface, to first order elsewhere.

    Example:
        >>> at = [np.array([0.0, 8.0, 10.0, 13.0]), np.zeros(4), np.zeros(4)]
        >>> ellipsoid_depth(at, (0, 0, 0), (10, 5, 5)).round(2).tolist()
        [5.0, 2.0, 0.0, -3.0]
    """
    offsets = [coordinate - middle for coordinate, middle in zip(point, centre, strict=True)]
    unit = np.sqrt(sum((offset / radius) ** 2 for offset, radius in zip(offsets, radii, strict=True)))
    slope = np.sqrt(sum((offset / radius**2) ** 2 for offset, radius in zip(offsets, radii, strict=True)))
    depth = (1.0 - unit) * unit / np.maximum(slope, 1e-9)
    return np.where(unit < 1e-6, float(min(radii)), depth)


def capsule_depth(point: Sequence[Array], start: Sequence[float], end: Sequence[float], radius: float) -> Array:
    """Return the depth in a tube of one radius around the line from ``start`` to ``end``.

    Example:
        >>> at = [np.array([0.0, 12.0]), np.zeros(2), np.zeros(2)]
        >>> capsule_depth(at, (-10, 0, 0), (10, 0, 0), 3.0).tolist()
        [3.0, 1.0]
    """
    axis = [float(last - first) for first, last in zip(start, end, strict=True)]
    offsets = [coordinate - first for coordinate, first in zip(point, start, strict=True)]
    length = sum(step * step for step in axis)
    along = np.clip(sum(offset * step for offset, step in zip(offsets, axis, strict=True)) / length, 0.0, 1.0)
    distance = np.sqrt(sum((offset - along * step) ** 2 for offset, step in zip(offsets, axis, strict=True)))
    return np.asarray(radius - distance)


def smooth_union(first: Array, second: Array, rounding: float) -> Array:
    """Return the depth in either structure, the notch between them filled over ``rounding`` millimetres.

    Example:
        >>> smooth_union(np.array([5.0, 0.0]), np.array([-5.0, 0.0]), 2.0).tolist()
        [5.0, 0.5]
    """
    overlap = np.maximum(rounding - np.abs(first - second), 0.0) / rounding
    return np.maximum(first, second) + overlap**2 * rounding / 4.0


def sheet_distance(field: Array, wavelength: float, node_mm: float) -> Array:
    """Return the signed distance to a random field's zero level, a folded sheet: exact for a plane wave.

    Example:
        >>> wave = np.sin(2 * np.pi * np.arange(-6.0, 7.0) / 48.0)[:, None, None] * np.ones((1, 2, 2))
        >>> sheet_distance(wave, 48.0, 1.0)[6:10, 0, 0].round(1).tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    scale = wavelength / (2.0 * np.pi)
    slope = np.sqrt(sum(step**2 for step in np.gradient(field, node_mm)))
    return np.asarray(scale * np.arctan2(field, scale * slope))


def fraction_inside(depth: Array, voxel_mm: float) -> Array:
    """Return how much of a voxel lies inside a structure, from the depth at the voxel's centre.

    Example:
        >>> fraction_inside(np.array([-3.0, 0.0, 0.5, 3.0]), 2.0).tolist()
        [0.0, 0.5, 0.75, 1.0]
    """
    return np.clip(0.5 + depth / voxel_mm, 0.0, 1.0)


def _spline_weights(nodes: Array, coordinates: Array, node_mm: float) -> Array:
    """Return the matrix that interpolates values at ``nodes`` to ``coordinates``, ``(I, X)``."""
    position = np.clip((coordinates - nodes[0]) / node_mm, 0.0, len(nodes) - 1.0)
    left = np.minimum(position.astype(np.int64), len(nodes) - 2)
    t = position - left
    weights = np.stack(
        [
            t * (t * (2.0 - t) - 1.0),
            t * t * (3.0 * t - 5.0) + 2.0,
            t * (t * (4.0 - 3.0 * t) + 1.0),
            t * t * (t - 1.0),
        ]
    )
    matrix = np.zeros((len(coordinates), len(nodes)))
    for step, weight in enumerate(weights):
        column = np.clip(left + step - 1, 0, len(nodes) - 1)
        np.add.at(matrix, (np.arange(len(coordinates)), column), weight / 2.0)
    return matrix


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
        self.whole: list[Array] = []  # those of all voxels
        box = []
        for side, centre, step, sign, half in zip(self.shape, middle, self.voxel, (-1, -1, 1), BOX_MM, strict=True):
            axis = sign * step * (np.arange(side, dtype=np.float64) + 0.5 - centre)
            inside = np.flatnonzero(np.abs(axis) < half)
            self.whole.append(axis)
            box.append(slice(int(inside[0]), int(inside[-1]) + 1))
            self.axes.append(axis[box[-1]])
        self.box = tuple(box)

    def place(self, brain: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return a whole image that holds ``values``, ``(N,)``, where the box holds brain."""
        image = np.zeros(self.shape, dtype=values.dtype)
        image[self.box][brain] = values
        return image
