"""From tissue to signal: relaxation times from the literature and the equations of spin echo and inversion recovery.

Times are in milliseconds, concentrations of contrast agent in mmol/L, signals relative to pure water at full recovery.
docs/phantom.md names the source of every number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pkdr_monai.phantom.lattice import Array, Lattice

__all__ = [
    "TISSUES",
    "Tissue",
    "TissueMaps",
    "contrast_enhanced_t1",
    "draw_tissue_maps",
    "inversion_recovery",
    "nulling_inversion_time",
    "spin_echo",
]


class Tissue(NamedTuple):
    """What the scanner sees of a tissue.

    Args:
        pd: proton density relative to water.
        t1: longitudinal relaxation time at 1.5 T and at 3 T.
        t2: transverse relaxation time at 1.5 T and at 3 T.
        agent: concentration of contrast agent some minutes after a standard dose of 0.1 mmol/kg.
    """

    pd: float
    t1: tuple[float, float]
    t2: tuple[float, float]
    agent: float


TISSUES: dict[str, Tissue] = {
    "white": Tissue(0.70, (646.0, 838.0), (78.0, 75.0), 0.010),
    "grey": Tissue(0.82, (1197.0, 1607.0), (98.0, 99.0), 0.020),
    "deep": Tissue(0.81, (1095.0, 1360.0), (84.0, 80.0), 0.020),
    "csf": Tissue(1.00, (4300.0, 4300.0), (2000.0, 1700.0), 0.0),
    "lesion": Tissue(0.80, (1000.0, 1250.0), (130.0, 125.0), 0.015),
    "choroid": Tissue(0.90, (1350.0, 1650.0), (150.0, 140.0), 0.35),
    "blood": Tissue(0.80, (1580.0, 1660.0), (45.0, 40.0), 0.70),
    "oedema": Tissue(0.85, (1400.0, 1700.0), (210.0, 200.0), 0.014),
    "enhancing": Tissue(0.86, (1430.0, 1720.0), (180.0, 170.0), 0.15),
    "nonenhancing": Tissue(0.87, (1600.0, 1950.0), (230.0, 215.0), 0.015),
    "necrosis": Tissue(0.92, (2000.0, 2400.0), (290.0, 270.0), 0.015),
}
"""Healthy tissues, then those of a glioma; ``nonenhancing`` is the solid tumour of low grade.

Blood's T2 is short to stand for the flow void: protons that leave the slice before the echo give no signal.
"""


def spin_echo(pd: Array, t1: Array, t2: Array, *, tr: float, te: float) -> Array:
    """Return the signal of a spin echo, ``PD (1 - exp(-TR/T1)) exp(-TE/T2)``.

    Args:
        pd: proton density.
        t1: longitudinal relaxation time, same shape.
        t2: transverse relaxation time, same shape.
        tr: repetition time.
        te: echo time.

    Example:
        >>> white, csf = (spin_echo(t.pd, t.t1[1], t.t2[1], tr=600, te=12) for t in (TISSUES["white"], TISSUES["csf"]))
        >>> bool(white > 2 * csf)
        True
    """
    return pd * (1.0 - np.exp(-tr / t1)) * np.exp(-te / t2)


def inversion_recovery(pd: Array, t1: Array, t2: Array, *, tr: float, te: float, ti: float) -> Array:
    """Return the magnitude of an inversion recovery, ``PD |1 - 2 exp(-TI/T1) + exp(-TR/T1)| exp(-TE/T2)``.

    Args:
        pd: proton density.
        t1: longitudinal relaxation time, same shape.
        t2: transverse relaxation time, same shape.
        tr: repetition time.
        te: echo time.
        ti: inversion time.
    """
    return pd * np.abs(1.0 - 2.0 * np.exp(-ti / t1) + np.exp(-tr / t1)) * np.exp(-te / t2)


def nulling_inversion_time(t1: float, tr: float) -> float:
    """Return the inversion time at which a tissue gives no signal, ``T1 (ln 2 - ln(1 + exp(-TR/T1)))``.

    Example:
        >>> round(nulling_inversion_time(4300.0, tr=9000.0))  # FLAIR's inversion time for CSF
        2481
    """
    return float(t1 * (np.log(2.0) - np.log1p(np.exp(-tr / t1))))


def contrast_enhanced_t1(t1: Array, agent: Array, relaxivity: float) -> Array:
    """Return T1 in the presence of contrast agent, ``1/T1' = 1/T1 + r1 C``.

    Args:
        t1: longitudinal relaxation time before the injection.
        agent: concentration C, same shape.
        relaxivity: r1 in L/(mmol s).

    Example:
        >>> round(float(contrast_enhanced_t1(np.array(1680.0), np.array(0.2), 4.5)))
        669
    """
    return 1.0 / (1.0 / t1 + relaxivity * agent / 1000.0)


TUMOUR = ("oedema", "enhancing", "nonenhancing", "necrosis")
HEALTHY_SPREAD = 0.03  # of a tissue's times between patients, relative
TUMOUR_SPREAD = 0.19
UPTAKE_SPREAD = 0.40  # of the contrast agent's concentration, between patients and within one
HEALTHY_TEXTURE = 0.03  # of the times within a patient, relative
TUMOUR_TEXTURE = 0.17
TEXTURE_MM = 36.0


@dataclass(frozen=True)
class TissueMaps:
    """The tissue of each voxel of brain, ``(N,)`` each.

    Args:
        pd: proton density of all that is not CSF.
        t1: its longitudinal relaxation time, in milliseconds.
        t2: its transverse relaxation time, in milliseconds.
        agent: its concentration of contrast agent after the injection, in mmol/L.
        csf: fraction of CSF in the voxel.
    """

    pd: Array
    t1: Array
    t2: Array
    agent: Array
    csf: Array


def draw_tissue_maps(
    rng: np.random.Generator,
    lattice: Lattice,
    fractions: dict[str, Array],
    sample: Callable[[Array], Array],
    strong: bool,
) -> TissueMaps:
    """Give each voxel its relaxation times: the literature's, varied between patients and from place to place.

    Within a voxel the rates of the tissues add up. CSF is kept apart, since its signal differs too much from all others
    for that: its share is mixed by signal.

    Args:
        rng: source of the variation.
        lattice: where textures are drawn.
        fractions: share of each tissue of :data:`~pkdr_monai.phantom.signal.TISSUES`, ``(N,)`` each; absent is 0.
        sample: takes a field at the nodes to the voxels.
        strong: whether the field is 3 T rather than 1.5 T.
    """
    solid = 1e-6 * np.ones_like(fractions["csf"])  # a trace of white matter, so that pure CSF divides by no zero
    totals = [value * solid for value in _traits("white", strong)]
    for name in TISSUES:
        spread = TUMOUR_SPREAD if name in TUMOUR else HEALTHY_SPREAD
        patient = np.exp(rng.standard_normal(4) * (0.2 * spread, spread, spread, UPTAKE_SPREAD))
        if name == "csf" or name not in fractions:
            continue
        solid = solid + fractions[name]
        for index, value in enumerate(_traits(name, strong)):
            totals[index] = totals[index] + value * patient[index] * fractions[name]
    pd, rate1, rate2, agent = (total / solid for total in totals)

    textures = [sample(lattice.noise(rng, TEXTURE_MM)) for _ in range(3)]  # (N,) each
    ill = sum(fractions[name] for name in TUMOUR if name in fractions)
    strength = HEALTHY_TEXTURE + (TUMOUR_TEXTURE - HEALTHY_TEXTURE) * ill
    return TissueMaps(
        pd=pd,
        t1=np.exp(strength * textures[0]) / rate1,
        t2=np.exp(strength * (0.6 * textures[0] + 0.8 * textures[1])) / rate2,
        agent=agent * np.exp(UPTAKE_SPREAD * textures[2]),
        csf=fractions["csf"],
    )


def _traits(name: str, strong: bool) -> tuple[float, float, float, float]:
    """Return what adds up in a voxel: proton density, the rates 1/T1 and 1/T2, and contrast agent."""
    tissue = TISSUES[name]
    return tissue.pd, 1.0 / tissue.t1[strong], 1.0 / tissue.t2[strong], tissue.agent
