"""Volumes small enough to lie in a page: cut to the brain, a byte a voxel, NIfTI compressed and in base64."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

import nibabel as nib
import numpy as np

from pkdr_monai.reporting.scans import Scan

__all__ = ["ViewerCase", "brain_box", "centre_of", "grey_levels", "tissues", "viewer_case"]

MARGIN = 2  # voxels around the brain
BRIGHTEST = 99.5  # percentile of the brain that becomes white


@dataclass(frozen=True)
class ViewerCase:
    """A case for the viewer: NIfTI volumes as base64 of gzip.

    Args:
        case: its name.
        modality: the modality that ``image`` is.
        volumes: ``"image"`` (grey levels), and ``"truth"`` and ``"prediction"`` (:func:`tissues`) where they are there.
        centre: where the cross-hair starts, as parts of the volume along its axes.
    """

    case: str
    modality: str
    volumes: dict[str, str]
    centre: tuple[float, ...]

    @property
    def size(self) -> int:
        """Characters that it takes in a page."""
        return sum(len(volume) for volume in self.volumes.values())


def viewer_case(scan: Scan) -> ViewerCase:
    """Make a case small enough for a page.

    Args:
        scan: the case.
    """
    box = brain_box(scan)
    affine = scan.affine.copy()
    affine[:3, 3] = scan.affine[:3, :3] @ [part.start for part in box] + scan.affine[:3, 3]
    volumes = {"image": grey_levels(scan.image)}
    volumes |= {name: tissues(regions) for name, regions in scan.regions.items()}
    volumes = {name: volume[box] for name, volume in volumes.items()}
    middle = centre_of(volumes.get("truth", volumes.get("prediction", volumes["image"])) > 0)
    centre = tuple(round((index + 0.5) / size, 4) for index, size in zip(middle, volumes["image"].shape, strict=True))
    encoded = {name: _encoded(volume, affine) for name, volume in volumes.items()}
    return ViewerCase(scan.case, scan.modality, encoded, centre)


def centre_of(mask: np.ndarray) -> tuple[int, int, int]:
    """Return, for each axis, the slice that holds the most of a mask; the middle where it is empty.

    Example:
        >>> centre_of(np.arange(27).reshape(3, 3, 3) == 5)
        (0, 1, 2)
    """
    if not mask.any():
        x, y, z = (size // 2 for size in mask.shape)
        return x, y, z
    x, y, z = (int(mask.sum(axis=tuple(other for other in range(3) if other != axis)).argmax()) for axis in range(3))
    return x, y, z


def brain_box(scan: Scan) -> tuple[slice, ...]:
    """Return the box around all that is not 0 in a case's image or regions, with a small margin."""
    shown = scan.image != 0
    for regions in scan.regions.values():
        shown = shown | regions.any(axis=0)
    if not shown.any():
        return tuple(slice(0, size) for size in shown.shape)
    box = []
    for axis, size in enumerate(shown.shape):
        filled = np.flatnonzero(shown.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(0, int(filled[0]) - MARGIN), min(size, int(filled[-1]) + 1 + MARGIN)))
    return tuple(box)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """Map an image to uint8: 0 stays 0, the brain's brightest half percent is white.

    Example:
        >>> grey_levels(np.array([0.0, 50.0, 100.0])).tolist()
        [0, 127, 255]
    """
    image = np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)
    brain = image[image != 0]
    if not brain.size:
        return np.zeros(image.shape, np.uint8)
    low, high = min(0.0, float(brain.min())), float(np.percentile(brain, BRIGHTEST))
    return (255 * np.clip((image - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def tissues(regions: np.ndarray) -> np.ndarray:
    """Turn the regions TC, WT, ET into a map of tissues: 1 core without ET, 2 oedema, 3 ET; the smaller region wins.

    Example:
        >>> tissues(np.array([[0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]], bool).reshape(3, 4, 1, 1)).ravel().tolist()
        [0, 1, 2, 3]
    """
    core, whole, enhancing = regions
    return np.select([enhancing, core, whole], [3, 1, 2], 0).astype(np.uint8)


def _encoded(volume: np.ndarray, affine: np.ndarray) -> str:
    image = nib.Nifti1Image(np.asfortranarray(volume), affine)
    image.header.set_xyzt_units("mm")
    return base64.b64encode(gzip.compress(image.to_bytes(), 9, mtime=0)).decode()
