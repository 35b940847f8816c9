"""A glioma that grows in a phantom's head: nested regions of irregular shape and of chosen volumes.

The core is a ball with a random surface, kept out of ventricles and of the other hemisphere. In a high-grade tumour its
inside is necrotic and its rim enhances; a low-grade core is solid, with enhancing nodules in some cases. Oedema seeps
from the core along white matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pkdr_monai.phantom.anatomy import Anatomy
from pkdr_monai.phantom.lattice import Array, Lattice, fraction_inside
from pkdr_monai.phantom.plan import TumourPlan
from pkdr_monai.regions import scheme_labels

__all__ = ["Tumour", "grow_tumour"]

SEEPAGE_STEPS = 32
SEEPAGE_LOSS = 0.05  # per step from node to node
SEEPAGE_MM = 5.4  # distance in white matter over which the seepage falls by e
GREY_RESISTANCE_MM = 10.0
NOWHERE_MM = 100.0  # a distance that no region bridges
LABELS = scheme_labels("brats2018")


@dataclass(frozen=True)
class Tumour:
    """A tumour's regions as depth fields on the lattice, in millimetres, ``(X, Y, Z)`` each.

    Args:
        grade: ``"HGG"`` or ``"LGG"``.
        core: depth in the tumour core.
        inside: depth in the core's part that does not enhance.
        oedema: depth in the oedema where the tissue is pure white matter.
    """

    grade: str
    core: Array
    inside: Array
    oedema: Array

    def invade(
        self, healthy: dict[str, Array], sample: Callable[[Array], Array], voxel_mm: float
    ) -> tuple[np.ndarray, dict[str, Array]]:
        """Return the voxels' labels, and what the tumour leaves of their tissue.

        Args:
            healthy: fractions without the tumour, as :meth:`Anatomy.fractions` returns them.
            sample: takes a field at the nodes to the voxels.
            voxel_mm: size of a voxel.

        Returns:
            Labels of BraTS 2018, uint8, and fractions with ``necrosis``, ``nonenhancing``, ``enhancing`` and ``oedema``
            added. Oedema is dense near the core and thins out towards its edge.
        """
        core, inside = sample(self.core), sample(self.inside)
        oedema = sample(self.oedema) - _resistance_mm(healthy)
        label = np.where(oedema > 0.0, LABELS["ed"], 0).astype(np.uint8)
        label[core > 0.0] = np.where(inside[core > 0.0] > 0.0, LABELS["ncr"], LABELS["et"])

        in_core = fraction_inside(core, voxel_mm)
        dull = in_core * fraction_inside(inside, voxel_mm)
        density = np.clip(0.45 + oedema / 20.0, 0.0, 1.0)
        soaked = (1.0 - in_core) * density * fraction_inside(oedema, max(voxel_mm, 2.0))
        fractions = {name: share * (1.0 - in_core - soaked) for name, share in healthy.items()}
        fractions["necrosis" if self.grade == "HGG" else "nonenhancing"] = dull
        fractions["enhancing"] = in_core - dull
        fractions["oedema"] = soaked
        return label, fractions


def grow_tumour(rng: np.random.Generator, lattice: Lattice, anatomy: Anatomy, plan: TumourPlan) -> Tumour:
    """Grow a planned tumour in a head.

    Args:
        rng: source of the tumour's shape.
        lattice: where the head was drawn.
        anatomy: the head.
        plan: place and volumes, which are met up to the head's own limits.
    """
    nodes = 1000.0 * plan.whole_ml / lattice.node_mm**3
    core_nodes = nodes * plan.core_share
    room = _room_for_core(anatomy, plan)
    core = _rough_ball(rng, lattice, plan)
    core = np.minimum(_cut_to_volume(core, np.where(room > 0.0, core, -np.inf), core_nodes), room)
    inside = _spare_the_rim(rng, lattice, core, plan, core_nodes)

    fractions = anatomy.fractions(lambda field: field, lattice.node_mm)
    oedema = _seep(core, fractions) + plan.fingers_mm * lattice.noise(rng, 30.0)
    reachable = np.where(core > 0.0, -np.inf, oedema - _resistance_mm(fractions))
    return Tumour(plan.grade, core, inside, _cut_to_volume(oedema, reachable, nodes - core_nodes))


def _room_for_core(anatomy: Anatomy, plan: TumourPlan) -> Array:
    """Return the depth in what is open to the core: cerebrum on its side of the fissure, or any of the hindbrain."""
    if plan.hindbrain:
        return np.minimum(anatomy.fields["surface"], -anatomy.fields["ventricle"]) - 1.0
    own_side = np.maximum(np.sign(plan.centre[0]) * anatomy.fields["midline"], anatomy.fields["bridge"])
    return np.minimum(anatomy.cerebrum - 1.0, own_side)


def _rough_ball(rng: np.random.Generator, lattice: Lattice, plan: TumourPlan) -> Array:
    """Return a field that falls with the distance from the core's centre, with lobes and a rough surface."""
    stretch = rng.lognormal(0.0, 0.15, size=3)
    offsets = [axis - middle for axis, middle in zip(lattice.coordinates(), plan.centre, strict=True)]
    distance = np.sqrt(sum((offset / length) ** 2 for offset, length in zip(offsets, stretch, strict=True)))
    lobes = 0.26 * plan.lobes * plan.radius * lattice.noise(rng, max(20.0, 2.2 * plan.radius))
    roughness = min(2.0, 0.12 * plan.radius) * plan.lobes * lattice.noise(rng, 14.0)
    return -distance + lobes + roughness


def _spare_the_rim(
    rng: np.random.Generator, lattice: Lattice, core: Array, plan: TumourPlan, core_nodes: float
) -> Array:
    """Return the depth in the core's part that does not enhance.

    In a high-grade tumour that is the inside, and noise makes the rim uneven and leaves gaps in it; in a low-grade one
    all but a few nodules that only noise places.
    """
    uneven = lattice.noise(rng, max(18.0, 0.9 * plan.radius))
    if plan.enhancing_share == 0.0:
        return np.full_like(core, NOWHERE_MM)
    inside = core + plan.uneven * plan.radius * uneven if plan.grade == "HGG" else 10.0 * uneven
    in_core = np.where(core > 0.0, inside, -np.inf)
    return _cut_to_volume(inside, in_core, core_nodes * (1.0 - plan.enhancing_share))


def _seep(core: Array, fractions: dict[str, Array]) -> Array:
    """Return how far seepage from the core got, as a distance in white matter, negative outside the core."""
    conductance = fractions["white"] + fractions["lesion"] + 0.25 * (fractions["grey"] + fractions["deep"])
    source = fraction_inside(core, 2.0)
    amount = source
    for _ in range(SEEPAGE_STEPS):
        spread = np.zeros_like(amount)
        for axis in range(3):
            spread += np.roll(amount, 1, axis) + np.roll(amount, -1, axis)
        amount = np.maximum(source, (1.0 - SEEPAGE_LOSS) / 6.0 * conductance * spread)
    return SEEPAGE_MM * np.log(np.maximum(amount, 1e-12))


def _resistance_mm(fractions: dict[str, Array]) -> Array:
    """Return by how much tissue that is not white matter pulls the edge of the oedema back, in millimetres."""
    fluid = fractions["csf"] + fractions["choroid"] + fractions["blood"]
    return GREY_RESISTANCE_MM * (fractions["grey"] + 0.7 * fractions["deep"]) + NOWHERE_MM * fluid


def _cut_to_volume(field: Array, ranking: Array, nodes: float) -> Array:
    """Shift a field so that it is positive at ``nodes`` nodes, the first by ``ranking``; ``-inf`` shuts a node out."""
    ranked = np.sort(ranking[np.isfinite(ranking)])[::-1]
    return field - ranked[min(max(round(nodes), 1), len(ranked) - 1)]
