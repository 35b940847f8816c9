"""What the scanner needs to know of each voxel: proton density, relaxation times, contrast agent, CSF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pkdr_monai.phantom.lattice import Array, Lattice
from pkdr_monai.phantom.signal import TISSUES

__all__ = ["TissueMaps", "draw_tissue_maps"]

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
