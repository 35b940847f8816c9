"""What is drawn of a patient before a voxel is: by version 1 one tumour, by the wide setting also age and further foci.

Version 1 follows BraTS 2018's distributions (:func:`plan_tumour`); in the wide setting (:func:`plan_wide`) rare
patients are as frequent as common ones, so that a network meets all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pkdr_monai.phantom.anatomy import Anatomy, Point
from pkdr_monai.phantom.lattice import Lattice

__all__ = ["LGG_SHARE", "TumourPlan", "WidePlan", "plan_satellites", "plan_tumour", "plan_wide"]

LGG_SHARE = 75 / 285  # of BraTS 2018's training cases
WHOLE_ML = (10.0, 88.0, 250.0)  # smallest, median, largest
ENHANCING_LGG = 1.0 / 3.0  # share of low-grade tumours that enhance somewhere


@dataclass(frozen=True)
class TumourPlan:
    """What a tumour is to become.

    Args:
        grade: ``"HGG"`` or ``"LGG"``.
        centre: in the head's coordinates, in millimetres.
        whole_ml: volume of the whole tumour.
        core_share: the core's share of the whole tumour.
        enhancing_share: the enhancing tumour's share of the core, 0 for none.
        hindbrain: whether it grows in the brain stem or the cerebellum instead of the cerebrum.
        lobes: how irregular the core is, 1 as in version 1.
        fingers_mm: how unevenly the oedema spreads.
        uneven: how much the enhancing rim's width varies, relative to the core's radius.
    """

    grade: str
    centre: tuple[float, float, float]
    whole_ml: float
    core_share: float
    enhancing_share: float
    hindbrain: bool = False
    lobes: float = 1.0
    fingers_mm: float = 2.0
    uneven: float = 0.16

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


def plan_tumour(rng: np.random.Generator, grade: str | None = None) -> TumourPlan:
    """Draw place and size of a tumour, as large as those of BraTS 2018.

    Args:
        rng: source of the draw.
        grade: ``"HGG"``, always enhancing, or ``"LGG"``, enhancing in one case of three; by default a draw in the
            proportions of BraTS 2018.

    Example:
        >>> plan = plan_tumour(np.random.default_rng(0), "HGG")
        >>> 10.0 <= plan.whole_ml <= 250.0 and plan.enhancing_share > 0.0
        True
    """
    drawn_grade = "LGG" if rng.random() < LGG_SHARE else "HGG"
    grade = grade or drawn_grade
    whole_ml = float(np.clip(rng.lognormal(np.log(WHOLE_ML[1]), 0.6), WHOLE_ML[0], WHOLE_ML[2]))
    if grade == "HGG":
        core_share, enhancing_share = rng.uniform(0.18, 0.60), rng.uniform(0.35, 0.80)
    else:
        core_share = rng.uniform(0.40, 0.80)
        enhancing_share = rng.uniform(0.03, 0.15) if rng.random() < ENHANCING_LGG else 0.0
    return TumourPlan(grade, _draw_centre(rng), whole_ml, float(core_share), float(enhancing_share))


def _draw_centre(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a point in the white matter of a cerebral hemisphere."""
    while True:
        x, y, z = rng.uniform((14.0, -66.0, -24.0), (54.0, 60.0, 48.0))
        in_lobes = (x / 52.0) ** 2 + (y / 70.0) ** 2 + ((z - 10.0) / 45.0) ** 2 < 1.0 and z > -6.0
        in_temporal_lobe = ((x - 41.0) / 12.0) ** 2 + ((y - 5.0) / 28.0) ** 2 + ((z + 16.0) / 10.0) ** 2 < 1.0
        if in_lobes or in_temporal_lobe:
            return float(x if rng.random() < 0.5 else -x), float(y), float(z)


HEALTHY = 0.10  # probability of a head without a tumour
LOW_GRADE = 0.28
ENHANCING_LOW_GRADE = 0.33
HINDBRAIN = 0.07
SIZES = {"tiny": (0.10, (0.5, 6.0)), "usual": (0.78, (15.0, 220.0)), "huge": (0.12, (120.0, 300.0))}
"""Probability and range of the whole tumour in mL, log-uniform."""
HINDBRAIN_ML = (1.0, 40.0)
SATELLITES = {0: 0.72, 1: 0.14, 2: 0.09, 3: 0.05}
CYST, PATCHY, BLEEDING, CAVITY = 0.20, 0.45, 0.15, 0.08  # probabilities in a head with a tumour
AGE_POWER = 1.5  # age is a uniform number to this power: 0 young, 1 with large ventricles, wide sulci, many lesions


@dataclass(frozen=True)
class WidePlan:
    """What a patient of the wide setting is to become.

    Args:
        main: the largest focus, ``None`` for a healthy head.
        satellites: number of further foci.
        age: 0 for a young brain to 1 for an old one.
        cyst: share of the non-enhancing core that is fluid, 0 for none.
        patchy: share of a high-grade core's inside that is solid instead of necrotic, 0 for none.
        bleeding: share of the core that holds blood, 0 for none.
        cavity: radius of a resection cavity relative to the core's, 0 for none.
    """

    main: TumourPlan | None
    satellites: int
    age: float
    cyst: float
    patchy: float
    bleeding: float
    cavity: float

    def displaced(self, point: Point) -> Point:
        """Return where the tissue at ``point`` would lie without the tumour's mass."""
        return point if self.main is None else self.main.displaced(point)

    def aged(self, anatomy: Anatomy) -> Anatomy:
        """Return the head at the patient's age: ventricles, sulci and lesions grow."""
        wider = 4.0 * self.age - 0.5
        fields = anatomy.fields | {"ventricle": anatomy.fields["ventricle"] + wider}
        return replace(
            anatomy,
            fields=fields,
            cerebrum=np.minimum(anatomy.cerebrum, -fields["ventricle"]),
            gap_mm=anatomy.gap_mm + 0.7 * self.age,
            lesion_load=float(0.4 * anatomy.lesion_load + 0.9 * self.age),
        )


def plan_wide(rng: np.random.Generator) -> WidePlan:
    """Draw a patient.

    Args:
        rng: source of the draw.

    Example:
        >>> plans = [plan_wide(np.random.default_rng(seed)) for seed in range(100)]
        >>> 2 < sum(plan.main is None for plan in plans) < 25
        True
    """
    healthy = rng.random() < HEALTHY
    main = _plan_main(rng)
    satellites = int(rng.choice(list(SATELLITES), p=list(SATELLITES.values())))
    age = float(rng.random() ** AGE_POWER)
    shares = {
        "cyst": (CYST, (0.2, 0.9)),
        "patchy": (PATCHY, (0.2, 1.0)),
        "bleeding": (BLEEDING, (0.05, 0.4)),
        "cavity": (CAVITY, (0.5, 0.95)),
    }
    drawn = {
        name: float(rng.uniform(*bounds)) * bool(rng.random() < chance) for name, (chance, bounds) in shares.items()
    }
    if healthy:
        return WidePlan(None, 0, age, 0.0, 0.0, 0.0, 0.0)
    return WidePlan(main, satellites, age, **drawn)


def plan_satellites(rng: np.random.Generator, lattice: Lattice, anatomy: Anatomy, plan: WidePlan) -> list[TumourPlan]:
    """Draw the further foci: most of them near the main one, all of them in brain.

    Args:
        rng: source of the draw.
        lattice: where the head was drawn.
        anatomy: the head.
        plan: the patient.
    """
    main = plan.main
    if main is None or plan.satellites == 0:
        return []
    x, y, z = lattice.coordinates()
    distance = np.sqrt(sum((along - middle) ** 2 for along, middle in zip((x, y, z), main.centre, strict=True)))
    foci = []
    for _ in range(plan.satellites):
        near = rng.random() < 0.75
        reach = main.radius + (30.0 if near else 150.0)
        open_nodes = np.argwhere((anatomy.cerebrum > 4.0) & (distance > main.radius + 4.0) & (distance < reach))
        if len(open_nodes) == 0:
            break
        node = open_nodes[rng.integers(len(open_nodes))]
        along_x, along_y, along_z = (float(axis[index]) for axis, index in zip(lattice.axes, node, strict=True))
        centre = (along_x or 1.0, along_y or 1.0, along_z or 1.0)  # on the midline no side would be its own
        enhancing = main.enhancing_share if rng.random() < 0.8 else 0.0
        core_ml = float(np.exp(rng.uniform(np.log(0.2), np.log(8.0))))
        core_share = float(rng.uniform(0.25, 0.9))
        foci.append(TumourPlan(main.grade, centre, core_ml / core_share, core_share, enhancing))
    return foci


def _plan_main(rng: np.random.Generator) -> TumourPlan:
    """Draw the main focus."""
    grade = "LGG" if rng.random() < LOW_GRADE else "HGG"
    chances = np.array([chance for chance, _ in SIZES.values()])
    low, high = list(SIZES.values())[rng.choice(len(SIZES), p=chances)][1]
    hindbrain = bool(rng.random() < HINDBRAIN)
    centre = plan_tumour(rng).centre
    if hindbrain:
        low, high = HINDBRAIN_ML
        centre = _hindbrain_centre(rng)
    whole_ml = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if rng.random() < 0.15:
        core_share = float(rng.uniform(0.8, 0.98))  # hardly any oedema
    elif grade == "HGG":
        core_share = float(rng.uniform(0.08, 0.65))
    else:
        core_share = float(rng.uniform(0.25, 0.85))
    if grade == "HGG":
        enhancing_share = float(rng.uniform(0.25, 0.95))
    else:
        enhancing_share = float(rng.uniform(0.02, 0.2)) * bool(rng.random() < ENHANCING_LOW_GRADE)
    lobes, fingers, uneven = rng.uniform((0.4, 1.0, 0.03), (1.4, 6.0, 0.2)).tolist()
    return TumourPlan(grade, centre, whole_ml, core_share, enhancing_share, hindbrain, lobes, fingers, uneven)


def _hindbrain_centre(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a point in the cerebellum or, one time in three, in the brain stem."""
    if rng.random() < 1.0 / 3.0:
        x, y, z = rng.uniform((1.0, -24.0, -48.0), (8.0, -13.0, -18.0))
    else:
        x, y, z = rng.uniform((8.0, -60.0, -52.0), (36.0, -42.0, -34.0))
    return float(x if rng.random() < 0.5 else -x), float(y), float(z)
