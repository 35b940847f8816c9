"""One synthetic patient: a head, a glioma in it, a scanner, and the four images with their label map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.anatomy import draw_anatomy
from pkdr_monai.phantom.lattice import SHAPE, SPACING, Array, ImageGrid, Lattice
from pkdr_monai.phantom.plan import plan_tumour
from pkdr_monai.phantom.scanner import BIAS_FIELDS, draw_scanner
from pkdr_monai.phantom.signal import TISSUES, draw_tissue_maps
from pkdr_monai.phantom.tumour import grow_tumour
from pkdr_monai.regions import scheme_labels

__all__ = ["PhantomCase", "fullest_tissue", "make_case"]

BIAS_MM = 160.0
LABELS = scheme_labels("brats2018")


@dataclass(frozen=True)
class PhantomCase:
    """A synthetic patient.

    Args:
        images: int16 by modality, 0 outside the brain and at least 1 inside, ``(X, Y, Z)`` each.
        label: 0 background, 1 necrotic or non-enhancing core, 2 oedema, 4 enhancing tumour, uint8, ``(X, Y, Z)``.
        tissue: what fills most of each voxel: 0 outside the brain, else 1 + its place in
            :data:`~pkdr_monai.phantom.signal.TISSUES`, uint8, ``(X, Y, Z)``.
        affine: from voxel to world, BraTS 2018's orientation (left, posterior, superior), ``(4, 4)``.
        grade: ``"HGG"`` or ``"LGG"``.
        has_et: whether any tumour enhances.
    """

    images: dict[str, np.ndarray]
    label: np.ndarray
    tissue: np.ndarray
    affine: np.ndarray
    grade: str
    has_et: bool


def make_case(
    seed: int,
    shape: Sequence[int] = SHAPE,
    spacing: Sequence[float] = SPACING,
    grade: str | None = None,
) -> PhantomCase:
    """Make one synthetic patient; the same arguments give the same bytes.

    The head is drawn in millimetres, so that one seed gives one patient at every voxel size. A field of view too small
    for a head shows a smaller head.

    Args:
        seed: names the patient, 0 or more.
        shape: size of the images in voxels, 32 or more on each side.
        spacing: size of a voxel in millimetres.
        grade: ``"HGG"`` or ``"LGG"``; by default the seed decides, with the proportions of BraTS 2018.

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> case = make_case(seed=7, shape=(48, 48, 40), spacing=(4.0, 4.0, 4.0))
        >>> sorted(case.images), case.label.shape, case.grade
        (['flair', 't1', 't1ce', 't2'], (48, 48, 40), 'HGG')
    """
    if seed < 0 or grade not in (None, "HGG", "LGG"):
        raise InputError(f"expected a seed of 0 or more and grade HGG, LGG or None; got {seed} and {grade!r}.")
    grid = ImageGrid(shape, spacing)
    streams = [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(6)]
    plan_rng, anatomy_rng, tumour_rng, scanner_rng, tissue_rng, image_rng = streams

    lattice = Lattice()
    plan = plan_tumour(plan_rng, grade)
    anatomy = draw_anatomy(anatomy_rng, lattice, plan.displaced)
    tumour = grow_tumour(tumour_rng, lattice, anatomy, plan)
    scanner = draw_scanner(scanner_rng)
    brain = lattice.sample(anatomy.fields["brain"], grid.axes) > 0.0  # (I, J, K), the box that holds the head

    def sample(field: Array) -> Array:
        return lattice.sample(field, grid.axes)[brain]  # (N,)

    healthy = anatomy.fractions(sample, grid.voxel_mm)
    label, fractions = tumour.invade(healthy, sample, grid.voxel_mm)
    maps = draw_tissue_maps(tissue_rng, lattice, fractions, sample, scanner.strong)
    bias = [sample(lattice.noise(image_rng, BIAS_MM)) for _ in range(BIAS_FIELDS)]
    images = {
        modality: grid.place(brain, scanner.acquire(modality, maps, brain, bias, grid.voxel, image_rng))
        for modality in MODALITIES
    }
    return PhantomCase(
        images=images,
        label=grid.place(brain, label),
        tissue=grid.place(brain, fullest_tissue(fractions)),
        affine=grid.affine,
        grade=plan.grade,
        has_et=bool((label == LABELS["et"]).any()),
    )


def fullest_tissue(fractions: dict[str, Array]) -> np.ndarray:
    """Return for each voxel 1 + the place in ``TISSUES`` of the tissue that fills most of it, ``(N,)``."""
    most = np.full_like(fractions["white"], -1.0)
    fullest = np.zeros(most.shape, dtype=np.uint8)
    for number, name in enumerate(TISSUES, start=1):
        if name in fractions:
            fullest[fractions[name] > most] = number
            most = np.maximum(most, fractions[name])
    return fullest
