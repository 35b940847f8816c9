"""What says that an image is no brain's MRI: one set of checks for data, ``pkdr predict`` and the bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pkdr_monai.data.geometry import voxel_sizes

__all__ = ["Finding", "scan_findings"]

NEGATIVE = 0.2  # of the voxels that are not 0; a magnitude image has none, one resampled by splines a few at its edge
HOUNSFIELD = -200.0  # far below 0: units of a CT, where air is -1000
BACKGROUND = 0.2  # of the voxels must be 0; a brain alone leaves half of its own bounding box empty
LARGEST_ML = 2300.0  # of 24 cases of BraTS 2018 the brain has 1084 to 1721 mL; a head has 3000 and more
SMALLEST_ML = 250.0  # a third of a small child's brain; at half its size an adult's has at most 215 mL
FEWEST_SLICES = 5  # that show brain, along any axis
FEWEST_GREYS = 20  # values; a label map has a few, a mask one
PIECEWISE = 0.9  # of neighbours with one value: an atlas of many labels; noise leaves an image far fewer

STRIP = "strip the skull, such as with HD-BET or SynthStrip"
SCANNED = "give the image as scanned, with background 0"


@dataclass(frozen=True)
class Finding:
    """One thing that says an image is not what a network expects.

    Args:
        what: what is wrong, with the number that says so.
        fix: what to do about it.
        forcible: whether a person who knows better may insist.
    """

    what: str
    fix: str
    forcible: bool = False


def scan_findings(image: np.ndarray, affine: np.ndarray) -> Iterator[Finding]:
    """Yield what is wrong with the voxels of one modality, the gravest alone.

    Args:
        image: ``(X, Y, Z)``, finite.
        affine: voxel index to position in mm, ``(4, 4)``.

    Example:
        >>> image = np.full((8, 8, 8), -1000.0)
        >>> next(scan_findings(image, np.eye(4))).what
        'looks like a CT: 100 % of its voxels are negative, down to -1000'
    """
    shown = image != 0
    count = int(np.count_nonzero(shown))
    if not count:
        return
    for check in (_foreign_intensities, _background, _slices, _greys):
        finding = check(image, shown, count)
        if finding is not None:
            yield finding
            return
    finding = _brain_size(count, float(np.prod(voxel_sizes(affine))))
    if finding is not None:
        yield finding


def _foreign_intensities(image: np.ndarray, shown: np.ndarray, count: int) -> Finding | None:
    negative = int(np.count_nonzero(image < 0))
    if np.count_nonzero(image < HOUNSFIELD) > NEGATIVE * count:
        share = f"{100 * negative / count:.0f} % of its voxels are negative, down to {image.min():g}"
        return Finding(f"looks like a CT: {share}", "give an MRI")
    if negative > NEGATIVE * count:
        return Finding("holds many negative values, as after a normalisation", SCANNED)
    return None


def _background(image: np.ndarray, shown: np.ndarray, count: int) -> Finding | None:
    empty = 1 - count / image.size
    if empty >= BACKGROUND:
        return None
    corners = image[:: max(1, image.shape[0] - 1), :: max(1, image.shape[1] - 1), :: max(1, image.shape[2] - 1)]
    value = float(corners.flat[0])
    if value and (corners == value).all() and np.count_nonzero(image == value) > BACKGROUND * image.size:
        return Finding(f"has a background of {value:g}, expected 0", "subtract it, or set the background to 0", True)
    what = f"does not look skull-stripped: {100 * empty:.0f} % of its voxels are 0, the background of a brain alone"
    return Finding(what, STRIP, True)


def _slices(image: np.ndarray, shown: np.ndarray, count: int) -> Finding | None:
    slices = min(int(np.count_nonzero(shown.any(axis=others))) for others in ((1, 2), (0, 2), (0, 1)))
    if slices >= FEWEST_SLICES:
        return None
    return Finding(f"shows something in {slices} slices, expected {FEWEST_SLICES} or more", "give the whole volume")


def _greys(image: np.ndarray, shown: np.ndarray, count: int) -> Finding | None:
    greys = len(np.unique(image[shown]))
    if greys < FEWEST_GREYS:
        what = f"holds {greys} grey value{'s' * (greys > 1)}, as a mask or a label map does"
        return Finding(f"{what}; expected {FEWEST_GREYS} or more", "give the image itself")
    pairs = shown[1:] & shown[:-1]
    equal = np.count_nonzero((image[1:] == image[:-1]) & pairs)
    if equal > PIECEWISE * max(1, int(np.count_nonzero(pairs))):
        return Finding("holds one value over whole areas, as a label map does", "give the image itself")
    return None


def _brain_size(count: int, voxel_volume: float) -> Finding | None:
    volume = count * voxel_volume / 1000
    if volume > LARGEST_ML:
        what = f"does not look skull-stripped: it is not 0 in {volume:,.0f} mL; a brain has at most"
        return Finding(f"{what} {LARGEST_ML:,.0f}", STRIP, True)
    if volume < SMALLEST_ML:
        what = f"is not 0 in {volume:,.3g} mL; a whole brain has at least {SMALLEST_ML:,.0f}"
        return Finding(what, "check its voxel size, which is in mm, or give the whole brain", True)
    return None
