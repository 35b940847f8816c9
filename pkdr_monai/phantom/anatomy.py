"""A healthy head as depth fields on the lattice, and the tissue fractions that a voxel of any size gets from them.

The origin lies midway between the commissures; the head is some 140 x 174 x 140 mm. Sizes follow an adult's, and every
case has its own size, asymmetry, folding, ventricles, vessels and white matter lesions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from pkdr_monai.phantom.lattice import (
    Array,
    Lattice,
    capsule_depth,
    ellipsoid_depth,
    fraction_inside,
    sheet_distance,
    smooth_union,
)

__all__ = ["Anatomy", "Point", "draw_anatomy"]

Point: TypeAlias = tuple[Array, Array, Array]
"""x, y and z in millimetres, of shapes that broadcast."""

GYRUS_PAIR_MM = 24.0  # from one sulcus to the next but one
FOLIUM_PAIR_MM = 13.0
SULCUS_REACH_MM = 21.0
CORTEX_MM = 2.8


@dataclass(frozen=True)
class Anatomy:
    """A head without a tumour.

    Args:
        fields: smooth fields at the lattice's nodes by name, in millimetres, ``(X, Y, Z)`` each: depths in structures,
            signed distances from sheets, the cortex's thickness; ``spots`` is plain noise.
        cerebrum: depth in the cerebrum's tissue, ``(X, Y, Z)``.
        gap_mm: half the width of a sulcus.
        lesion_load: 0 for white matter without lesions, 1 for many.
    """

    fields: dict[str, Array]
    cerebrum: Array
    gap_mm: float
    lesion_load: float

    def fractions(self, sample: Callable[[Array], Array], voxel_mm: float) -> dict[str, Array]:
        """Return how much of each tissue the voxels hold; the fractions of a voxel add up to 1.

        Args:
            sample: takes a field at the nodes to the voxels, any shape.
            voxel_mm: size of a voxel.

        Returns:
            Fractions of ``white``, ``grey``, ``deep``, ``csf``, ``lesion``, ``choroid`` and ``blood``.
        """
        depth = {name: sample(field) for name, field in self.fields.items()}
        pia = self._pial_depth(depth)
        inside = fraction_inside(pia, voxel_mm)
        white = np.minimum(inside, fraction_inside(pia - depth["cortex"], voxel_mm))
        tissue = {"white": white, "grey": inside - white, "csf": 1.0 - inside}
        caps = depth["ventricle"] - 1.5 + 4.0 * self.lesion_load + 1.5 * depth["spots"]  # ragged, around the ventricles
        lesion = np.maximum(caps, 3.5 * (depth["spots"] - 3.0 + 0.7 * self.lesion_load))
        overlay = {
            "deep": fraction_inside(depth["deep"], voxel_mm),
            "lesion": white * fraction_inside(lesion, max(voxel_mm, 2.0)),
            "csf": fraction_inside(depth["ventricle"], voxel_mm),
            "choroid": fraction_inside(depth["choroid"], voxel_mm),
            "blood": fraction_inside(self._vessel_depth(depth), voxel_mm),
        }
        for name, share in overlay.items():
            tissue = {other: fraction * (1.0 - share) for other, fraction in tissue.items()}
            tissue[name] = tissue.get(name, 0.0) + share
        return tissue

    def _pial_depth(self, depth: dict[str, Array]) -> Array:
        """Return the depth below the nearest pial surface: the outer one, or the wall of a sulcus or fissure."""
        sheets = (
            (depth["sulcus"], depth["floor"], self.gap_mm),
            (depth["midline"], depth["bridge"], self.gap_mm + 0.3),
            (depth["sylvian"], depth["insula"], self.gap_mm + 0.3),
        )
        pia = depth["surface"] - 0.7 * self.gap_mm
        for distance, beyond_floor, gap in sheets:
            pia = np.minimum(pia, np.hypot(distance, np.maximum(beyond_floor, 0.0)) - gap)
        return pia

    def _vessel_depth(self, depth: dict[str, Array]) -> Array:
        """Return the depth in a vessel: a curve in a fissure, where its sheet meets another, or the sagittal sinus."""
        in_sulcus = np.hypot(depth["sulcus"], depth["course"])
        in_sylvian = np.hypot(np.hypot(depth["sylvian"], depth["course"]), np.maximum(depth["insula"], 0.0))
        sinus = np.hypot(depth["midline"], depth["brain"] - 1.0) + np.maximum(-depth["height"], 0.0)
        beyond_floor = np.maximum(depth["floor"], 0.0)
        return np.maximum(np.maximum(0.8 - in_sulcus - beyond_floor, 1.2 - in_sylvian), 2.0 - sinus)


def draw_anatomy(rng: np.random.Generator, lattice: Lattice, displaced: Callable[[Point], Point]) -> Anatomy:
    """Draw a head.

    Args:
        rng: source of the draw.
        lattice: where the head is drawn.
        displaced: takes a point of the head to where it would lie without the tumour's mass.

    Example:
        >>> anatomy = draw_anatomy(np.random.default_rng(0), Lattice(), displaced=lambda point: point)
        >>> shares = anatomy.fractions(lambda field: field, voxel_mm=3.0)
        >>> bool(np.allclose(sum(shares.values()), 1.0))
        True
    """
    x, y, z = np.broadcast_arrays(*lattice.coordinates())
    size = rng.normal((1.0, 1.0, 1.0), 0.03)
    bend = [1.3 * lattice.noise(rng, 140.0) for _ in range(3)]
    outer = (x / size[0] + bend[0], y / size[1] + bend[1], z / size[2] + bend[2])
    inner = displaced(outer)
    hull = _hull(outer)
    fields = {name: hull[name] for name in ("brain", "surface", "cortex", "height")}
    fields |= _folds(rng, lattice, inner, hull)
    fields |= _deep_structures(inner, ventricle_mm=rng.uniform(-1.3, 1.7))
    fields["course"] = sheet_distance(lattice.noise(rng, 60.0), 60.0, lattice.node_mm)
    fields["spots"] = lattice.noise(rng, 22.0)
    cerebrum = np.minimum.reduce([hull["surface"], -fields["ventricle"], -hull["cerebellum"], -hull["stem"]])
    return Anatomy(fields, cerebrum, gap_mm=rng.uniform(0.4, 1.0), lesion_load=rng.random() ** 2)


def _hull(point: Point) -> dict[str, Array]:
    """Return the outer surfaces, and how thick the cortex is below them."""
    x, y, z = point
    egg = (x / (1.0 - 0.0006 * y), y, z)
    side = (np.abs(x), y, z)
    dome = ellipsoid_depth(egg, (0, 0, 10), (67, 86, 59))
    temporal = ellipsoid_depth(side, (41, 10, -18), (23, 42, 25))
    cerebrum = smooth_union(np.minimum(dome, z + 16.0), temporal, 8.0)
    cerebellum = ellipsoid_depth(point, (0, -48, -43), (50, 33, 22))
    stem = capsule_depth(point, (0, -14, -8), (0, -27, -90), 11.0)
    stem = smooth_union(stem, ellipsoid_depth(point, (0, -13, -32), (16, 13, 14)), 6.0)
    surface = np.maximum(np.maximum(cerebrum, cerebellum), stem)
    brain = smooth_union(smooth_union(cerebrum, cerebellum, 10.0), stem, 10.0)
    return {
        "brain": brain,  # what a skull-stripping tool keeps
        "surface": surface,
        "convexity": np.maximum(np.maximum(dome, cerebellum), np.minimum(temporal, -z)),
        "height": z,
        "cortex": np.where(stem >= surface, 0.0, np.where(cerebellum >= surface, 4.0, CORTEX_MM)),
        "cerebellum": cerebellum - cerebrum,  # positive where the cerebellum is nearer
        "stem": stem,
    }


def _folds(rng: np.random.Generator, lattice: Lattice, point: Point, hull: dict[str, Array]) -> dict[str, Array]:
    """Return the sheets of CSF that cut into the brain: sulci, the midline and the Sylvian fissures."""
    x, y, z = point
    radial = np.sqrt((x / 67.0) ** 2 + (y / 86.0) ** 2 + ((z - 10.0) / 59.0) ** 2)
    stretch = np.maximum(radial, 0.3) ** -0.6  # sulci run inwards: the pattern hardly changes with depth
    gyri = lattice.noise(rng, GYRUS_PAIR_MM)
    nodes = [(along * stretch - axis[0]) / lattice.node_mm for along, axis in zip(point, lattice.axes, strict=True)]
    gyri = ndimage.map_coordinates(gyri, nodes, order=1, mode="grid-wrap")
    folia = lattice.noise(rng, FOLIUM_PAIR_MM)
    sulcus = np.where(
        hull["cerebellum"] > 0.0,
        sheet_distance(folia, FOLIUM_PAIR_MM, lattice.node_mm),
        sheet_distance(gyri, GYRUS_PAIR_MM, lattice.node_mm),
    )
    floor = hull["convexity"] - SULCUS_REACH_MM + 6.0 * lattice.noise(rng, 50.0)
    bridge = ellipsoid_depth(point, (0, -2, 0), (60, 42, 28))  # callosum and below, where the hemispheres join
    return {
        "sulcus": sulcus,
        "floor": np.maximum(floor, hull["stem"] + 3.0),
        "midline": x,
        "bridge": np.maximum(bridge, np.maximum(hull["cerebellum"], hull["stem"]) + 3.0),
        "sylvian": 0.9 * (z - 1.0) + 0.45 * (y - 8.0),
        "insula": np.maximum(37.0 - np.abs(x), np.abs(y - 4.0) - 28.0),
    }


def _deep_structures(point: Point, ventricle_mm: float) -> dict[str, Array]:
    """Return the ventricles (wider by ``ventricle_mm``), the deep grey nuclei and the choroid plexus."""
    x, y, z = point
    side = (np.abs(x), y, z)
    horns = [
        capsule_depth(side, (13, 42, 6), (6, 18, 13), 3.6),  # frontal horn
        capsule_depth(side, (6, 18, 13), (12, -20, 20), 3.8),  # body
        capsule_depth(side, (12, -20, 20), (25, -38, 10), 4.4),  # trigone
        capsule_depth(side, (25, -38, 10), (24, -64, 5), 2.4),  # occipital horn
        capsule_depth(side, (25, -38, 8), (31, -4, -20), 1.6),  # temporal horn
    ]
    lateral = horns[0]
    for horn in horns[1:]:
        lateral = smooth_union(lateral, horn, 4.0)
    third = ellipsoid_depth(point, (0, 3, 0), (2.6, 14, 10))
    fourth = ellipsoid_depth(point, (0, -33, -34), (7, 5, 9))
    deep = [
        ellipsoid_depth(side, (25, 12, 1), (6, 17, 11)),  # putamen and pallidum
        ellipsoid_depth(side, (12, -9, 4), (9, 14, 9)),  # thalamus
        capsule_depth(side, (13, 26, 6), (17, -4, 20), 4.6),  # caudate
    ]
    return {
        "ventricle": np.maximum(np.maximum(lateral + ventricle_mm, third + 0.3 * ventricle_mm), fourth),
        "deep": np.maximum(np.maximum(deep[0], deep[1]), deep[2]),
        "choroid": capsule_depth(side, (12, -20, 18), (24, -39, 10), 2.0),
    }
