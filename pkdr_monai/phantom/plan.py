"""Where a phantom's tumour sits and how large its regions are to become, as in BraTS 2018."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pkdr_monai.phantom.anatomy import Point

__all__ = ["LGG_SHARE", "TumourPlan", "plan_tumour"]

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
