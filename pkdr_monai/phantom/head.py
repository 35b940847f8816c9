"""A synthetic patient's whole head: CSF, skull with marrow, muscle, fat, eyes and air around the brain of a case.

What :func:`~pkdr_monai.phantom.case.make_case` draws is left as it is, voxel for voxel; the same scanner sees the rest.
It is there to try programs that extract a brain. Layers follow an adult's sizes; the face is rough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.case import BIAS_MM, make_case
from pkdr_monai.phantom.lattice import SPACING, Array, ImageGrid, Lattice, capsule_depth, ellipsoid_depth
from pkdr_monai.phantom.scanner import BIAS_FIELDS, LARGEST_INTENSITY, Scanner, blurred, draw_scanner
from pkdr_monai.phantom.signal import TISSUES, Tissue, TissueMaps

__all__ = ["HEAD_SHAPE", "PhantomHead", "make_head"]

HEAD_SHAPE = (240, 240, 200)
"""Size of the image in voxels of 1 mm: from above the scalp down to the neck."""

AROUND = {  # docs/phantom.md has the sources
    "air": Tissue(0.0, (1000.0, 1000.0), (100.0, 100.0), 0.0),
    "muscle": Tissue(0.79, (1130.0, 1420.0), (35.3, 31.7), 0.05),
    "fat": Tissue(0.90, (288.0, 371.0), (165.0, 133.0), 0.0),
    "marrow": Tissue(0.60, (288.0, 365.0), (165.0, 133.0), 0.0),
    "bone": Tissue(0.20, (200.0, 200.0), (0.45, 0.45), 0.0),
    "csf": TISSUES["csf"],  # the vitreous body of an eye, too
}
CSF_MM = (2.0, 4.0)  # between brain and skull
TABLE_MM, MARROW_MM = 1.8, 3.0  # a table of the skull, of which there are two, and what lies between them
SCALP_MM = 6.0
SUBCUTANEOUS_MM, SKIN_MM = 4.0, 1.5


@dataclass(frozen=True)
class PhantomHead:
    """A whole head.

    Args:
        images: int16 by modality, with noise where there is air, ``(X, Y, Z)`` each.
        brain: the brain that a case of the same seed consists of, bool, ``(X, Y, Z)``.
        affine: from voxel to world, BraTS 2018's orientation (left, posterior, superior), ``(4, 4)``.
    """

    images: dict[str, np.ndarray]
    brain: np.ndarray
    affine: np.ndarray


def make_head(
    seed: int,
    shape: Sequence[int] = HEAD_SHAPE,
    spacing: Sequence[float] = SPACING,
    modalities: Sequence[str] = MODALITIES,
) -> PhantomHead:
    """Make the head around the brain of a synthetic patient; the same arguments give the same bytes.

    Args:
        seed: names the patient, 0 or more.
        shape: size of the images in voxels, 32 or more on each side; what lies outside is cut off.
        spacing: size of a voxel in millimetres.
        modalities: those to make.

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> head = make_head(seed=7, shape=(60, 60, 50), spacing=(4.0, 4.0, 4.0), modalities=["t1"])
        >>> bool(head.brain.any()), head.images["t1"].shape
        (True, (60, 60, 50))
    """
    case = make_case(seed, shape, spacing)
    grid = ImageGrid(shape, spacing)
    brain = case.tissue > 0
    streams = [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(7)]
    scanner, image_rng, rng = draw_scanner(streams[3]), streams[5], streams[6]  # the first two as the case draws them
    lattice = Lattice()
    bias = [lattice.sample(lattice.noise(image_rng, BIAS_MM), grid.whole) for _ in range(BIAS_FIELDS)]
    maps = _maps(_tissues(lattice, rng, brain, grid), scanner.strong)
    images = {}
    for modality in modalities:
        around = _acquire(scanner, modality, maps, bias, grid.voxel, rng)
        images[modality] = np.where(brain, case.images[modality], around)
    return PhantomHead(images, brain, case.affine)


def _tissues(lattice: Lattice, rng: np.random.Generator, brain: np.ndarray, grid: ImageGrid) -> np.ndarray:
    """Return the place in ``AROUND`` of what fills each voxel, the brain being CSF, uint8, ``(X, Y, Z)``."""
    x, y, z = grid.whole
    point = (x[:, None, None], y[None, :, None], z[None, None, :])
    side = (np.abs(point[0]), point[1], point[2])
    names = list(AROUND)
    away = ndimage.distance_transform_edt(~brain, sampling=grid.voxel)  # mm from the brain
    wave = lattice.sample(lattice.noise(rng, 60.0), grid.whole)
    csf = np.clip(np.mean(CSF_MM) + 0.5 * wave, *CSF_MM)
    marrow = csf + TABLE_MM
    outer = marrow + np.maximum(MARROW_MM + wave, 0.5)
    skull = outer + TABLE_MM
    neck = capsule_depth(point, (0, -25, -50), (0, -35, -200), 55.0)
    face = np.maximum(ellipsoid_depth(point, (0, 45, -60), (60, 50, 75)), -200.0)
    skin = np.maximum.reduce([skull + SCALP_MM - away, neck, face])  # depth below the head's surface, mm
    tissue = np.full(brain.shape, names.index("air"), dtype=np.uint8)
    tissue[skin > 0] = names.index("muscle")  # skin, too
    tissue[(skin > SKIN_MM) & (skin < SKIN_MM + SUBCUTANEOUS_MM)] = names.index("fat")
    orbit = capsule_depth(side, (30, 76, -38), (18, 48, -36), 15.0)
    tissue[(orbit > 0) & (skin > SKIN_MM)] = names.index("fat")
    tissue[np.broadcast_to(ellipsoid_depth(side, (32, 76, -38), (12, 12, 12)), brain.shape) > 0] = names.index("csf")
    airway = np.maximum(
        capsule_depth(point, (0, 88, -62), (0, 15, -66), 8.0), capsule_depth(point, (0, 15, -66), (0, 8, -200), 7.0)
    )
    tissue[np.broadcast_to(airway, brain.shape) > 0] = names.index("air")
    for name, beneath in (("bone", skull), ("marrow", outer), ("bone", marrow), ("csf", csf)):
        tissue[away <= beneath] = names.index(name)
    return tissue


def _maps(tissue: np.ndarray, strong: bool) -> TissueMaps:
    kinds = list(AROUND.values())
    columns = (
        [kind.pd for kind in kinds],
        [kind.t1[strong] for kind in kinds],
        [kind.t2[strong] for kind in kinds],
        [kind.agent for kind in kinds],
        [float(name == "csf") for name in AROUND],
    )
    return TissueMaps(*(np.array(column)[tissue] for column in columns))


def _acquire(
    scanner: Scanner,
    modality: str,
    maps: TissueMaps,
    bias: list[Array],
    voxel_mm: tuple[float, float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Return one modality's intensities as :meth:`Scanner.acquire` does, air included, int16, ``(X, Y, Z)``."""
    protocol = scanner.protocols[modality]
    signal = blurred(scanner.signal(modality, maps), protocol.fwhm_mm, voxel_mm)
    signal *= np.exp(sum(weight * field for weight, field in zip(protocol.bias, bias, strict=True)))
    real, imaginary = (protocol.noise * rng.standard_normal(signal.shape) for _ in range(2))
    signal = np.hypot(signal + real, imaginary) * protocol.white_intensity
    return np.clip(np.rint(signal), 0, LARGEST_INTENSITY).astype(np.int16)
