"""A glioma that grows in a phantom's head: nested regions of irregular shape and of chosen volumes.

The core is a ball with a random surface, kept out of ventricles and of the other hemisphere. In a high-grade tumour its
inside is necrotic and its rim enhances; a low-grade core is solid, with enhancing nodules in some cases. Oedema seeps
from the core along white matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pkdr_monai.data.phantom_anatomy import Anatomy, Point
from pkdr_monai.data.phantom_lattice import Array, Lattice, fraction_inside

__all__ = ["Tumour", "TumourPlan", "grow_tumour", "plan_tumour"]

SEEPAGE_STEPS = 32
SEEPAGE_LOSS = 0.07  # per step from node to node
SEEPAGE_MM = 4.5  # distance in white matter over which the seepage falls by e
GREY_RESISTANCE_MM = 7.0


@dataclass(frozen=True)
class TumourPlan:
    """Where a tumour sits and how large its regions are to become.

    Args:
        grade: ``"HGG"`` or ``"LGG"``.
        centre: in the head's coordinates, in millimetres.
        whole_ml: volume of the whole tumour.
        core_share: the core's share of the whole tumour.
        enhancing_share: the enhancing tumour's share of the core, 0 for none.
    """

    grade: str
    centre: tuple[float, float, float]
    whole_ml: float
    core_share: float
    enhancing_share: float

    @property
    def radius(self) -> float:
        """Radius of a ball with the core's volume, in millimetres."""
        return float(np.cbrt(self.whole_ml * self.core_share * 1000.0 * 0.75 / np.pi))

    def displaced(self, point: Point) -> Point:
        """Return where the tissue at ``point`` would lie without the tumour's mass: nearer to its centre."""
        offsets = [coordinate - middle for coordinate, middle in zip(point, self.centre, strict=True)]
        reach = 1.6 * self.radius
        pull = 0.3 * np.exp(-0.5 * sum(offset**2 for offset in offsets) / reach**2)
        x, y, z = (coordinate - pull * offset for coordinate, offset in zip(point, offsets, strict=True))
        return x, y, z


@dataclass(frozen=True)
class Tumour:
    """A tumour's regions as depth fields on the lattice, in millimetres, ``(X, Y, Z)`` each.

    Args:
        core: depth in the tumour core.
        inside: depth in the core's part that does not enhance.
        oedema: depth in the oedema where the tissue is pure white matter.
    """

    core: Array
    inside: Array
    oedema: Array


def plan_tumour(rng: np.random.Generator, grade: str) -> TumourPlan:
    """Draw place and size of a tumour, as large as those of BraTS 2018.

    Args:
        rng: source of the draw.
        grade: ``"HGG"``, always enhancing, or ``"LGG"``, enhancing in one case of three.
    """
    whole_ml = float(np.clip(rng.lognormal(np.log(88.0), 0.6), 10.0, 250.0))
    if grade == "HGG":
        core_share, enhancing_share = rng.uniform(0.18, 0.60), rng.uniform(0.35, 0.80)
    else:
        core_share = rng.uniform(0.40, 0.80)
        enhancing_share = rng.uniform(0.03, 0.15) if rng.random() < 1.0 / 3.0 else 0.0
    return TumourPlan(grade, _draw_centre(rng), whole_ml, float(core_share), float(enhancing_share))


def grow_tumour(rng: np.random.Generator, lattice: Lattice, anatomy: Anatomy, plan: TumourPlan) -> Tumour:
    """Grow a planned tumour in a head.

    Args:
        rng: source of the tumour's shape.
        lattice: where the head was drawn.
        anatomy: the head.
        plan: place and volumes, which are met up to the head's own limits.
    """
    node_ml = lattice.node_mm**3 / 1000.0
    fractions = anatomy.fractions(lambda field: field, lattice.node_mm)
    core_ml = plan.whole_ml * plan.core_share
    core = _grow_core(rng, lattice, plan)
    room = _room_for_core(anatomy, plan)
    core = np.minimum(_cut_to_volume(core, core_ml / node_ml, among=np.where(room > 0.0, core, -np.inf)), room)

    unevenness = 0.30 * plan.radius if plan.grade == "HGG" else 100.0
    inside = core + unevenness * lattice.noise(rng, max(18.0, 0.9 * plan.radius))
    in_core = np.where(core > 0.0, inside, -np.inf)
    inside = _cut_to_volume(inside, core_ml * (1.0 - plan.enhancing_share) / node_ml, among=in_core)
    if plan.enhancing_share == 0.0:
        inside = np.full_like(core, 100.0)

    oedema = _seep(core, fractions) + 2.0 * lattice.noise(rng, 30.0)
    reachable = np.where(core > 0.0, -np.inf, oedema - resistance_mm(fractions))
    oedema = _cut_to_volume(oedema, plan.whole_ml * (1.0 - plan.core_share) / node_ml, among=reachable)
    return Tumour(core, inside, oedema)


def resistance_mm(fractions: dict[str, Array]) -> Array:
    """Return by how much tissue that is not white matter pulls the edge of the oedema back, in millimetres."""
    fluid = fractions["csf"] + fractions["choroid"] + fractions["blood"]
    return GREY_RESISTANCE_MM * (fractions["grey"] + 0.7 * fractions["deep"]) + 60.0 * fluid


def _draw_centre(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a point in the white matter of a cerebral hemisphere."""
    while True:
        x, y, z = rng.uniform((14.0, -66.0, -24.0), (54.0, 60.0, 48.0))
        in_lobes = (x / 52.0) ** 2 + (y / 70.0) ** 2 + ((z - 10.0) / 45.0) ** 2 < 1.0 and z > -6.0
        in_temporal_lobe = ((x - 41.0) / 12.0) ** 2 + ((y - 5.0) / 28.0) ** 2 + ((z + 16.0) / 10.0) ** 2 < 1.0
        if in_lobes or in_temporal_lobe:
            return float(x if rng.random() < 0.5 else -x), float(y), float(z)


def _grow_core(rng: np.random.Generator, lattice: Lattice, plan: TumourPlan) -> Array:
    """Return a field that is higher the more a node belongs to the core: a ball with lobes and a rough surface."""
    stretch = rng.lognormal(0.0, 0.15, size=3)
    offsets = [axis - middle for axis, middle in zip(lattice.coordinates(), plan.centre, strict=True)]
    distance = np.sqrt(sum((offset / length) ** 2 for offset, length in zip(offsets, stretch, strict=True)))
    lobes = 0.26 * plan.radius * lattice.noise(rng, max(20.0, 2.2 * plan.radius))
    roughness = min(2.0, 0.12 * plan.radius) * lattice.noise(rng, 14.0)
    return -distance + lobes + roughness


def _room_for_core(anatomy: Anatomy, plan: TumourPlan) -> Array:
    """Return the depth in the region open to the core: brain, without ventricles, on the core's side of the fissure."""
    depth = anatomy.depths
    own_side = np.maximum(np.sign(plan.centre[0]) * depth["midline"], depth["bridge"])
    supratentorial = np.minimum(-depth["cerebellum"], -depth["stem"])
    return np.minimum.reduce([depth["surface"] - 1.0, -depth["ventricle"], own_side, supratentorial])


def _seep(core: Array, fractions: dict[str, Array]) -> Array:
    """Return how far seepage from the core got, as a distance in white matter, negative outside the core."""
    conductance = fractions["white"] + fractions["lesion"] + 0.35 * (fractions["grey"] + fractions["deep"])
    source = fraction_inside(core, 3.0)
    amount = source
    for _ in range(SEEPAGE_STEPS):
        spread = np.zeros_like(amount)
        for axis in range(3):
            spread += np.roll(amount, 1, axis) + np.roll(amount, -1, axis)
        amount = np.maximum(source, (1.0 - SEEPAGE_LOSS) / 6.0 * conductance * spread)
    return SEEPAGE_MM * np.log(np.maximum(amount, 1e-12))


def _cut_to_volume(field: Array, nodes: float, among: Array | None = None) -> Array:
    """Shift a field so that it is positive at its highest ``nodes`` nodes.

    Args:
        field: the higher, the more a node belongs to the region.
        nodes: how many nodes the region is to have.
        among: what to rank by instead of the field; ``-inf`` shuts a node out.
    """
    ranked = np.sort((field if among is None else among).ravel())[::-1]
    ranked = ranked[np.isfinite(ranked)]
    if not len(ranked):
        return field - field.max() - 1.0
    return field - ranked[min(max(round(nodes), 1), len(ranked)) - 1]
