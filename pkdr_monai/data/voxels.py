"""What the voxels of a case may have wrong: its numbers, its label, its field of view, its enhancing tumour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np

from pkdr_monai.data.cases import Case
from pkdr_monai.data.geometry import voxel_sizes
from pkdr_monai.data.likeness import doubtful_modalities, doubtful_size, image_features
from pkdr_monai.data.problems import Problem
from pkdr_monai.errors import InputError
from pkdr_monai.regions import HEALTHY_FOLDER, LABEL_SCHEMES, meaning_of, schemes_with, whole_labels

__all__ = [
    "Finding",
    "image_findings",
    "image_problems",
    "joint_problems",
    "label_problems",
    "likeness_problems",
    "scan_findings",
]

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


# Measured on 24 cases of BraTS 2018: at most 0.01 % of a label lies outside the brain; a modality shows at least 98.8 %
# of the brain, the cropped FLAIR of one case 66 %.
LABEL_OUTSIDE = 0.01  # part of the labelled voxels that may lie where an image is 0, since brain masks are not exact
BRAIN_COVERED = 0.90  # part of the brain, as all modalities show it, that each should show
SHOWN = 5  # values of a label in a message
SMALL_ET = 1000.0  # mm³; below, one voxel more or less moves Dice by much

INSIST = ", or insist with --force (pkdr data split: --accept_scans)"
TAKEN = "; taken all the same, as --force (--accept_scans) says"


def image_problems(
    case: Case, modality: str, image: np.ndarray, affine: np.ndarray, force: bool = False
) -> Iterator[Problem]:
    """Yield what is wrong with one modality by itself: NaN, infinity, nothing in it, or something else than a brain.

    Args:
        case: the case.
        modality: what the image is.
        image: ``(X, Y, Z)``.
        affine: voxel index to position in mm, ``(4, 4)``.
        force: whether what a person may insist on is a warning.
    """
    where = case.modalities[modality]
    for finding in image_findings(image, affine):
        severity: Literal["error", "warning"] = "warning" if force and finding.forcible else "error"
        insist = TAKEN if force else INSIST
        fix = finding.fix + insist * finding.forcible
        yield Problem(case.name, where, f"{modality} {finding.what}", fix, severity)


def image_findings(image: np.ndarray, affine: np.ndarray) -> Iterator[Finding]:
    """Yield what is wrong with one image: NaN, infinity, nothing in it, or something else than a brain's MRI."""
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        count = image.size - np.count_nonzero(np.isfinite(image))
        yield Finding(
            f"holds NaN or infinity in {count:,} of {image.size:,} voxels", "write it without them; background is 0"
        )
    elif not image.any():
        yield Finding("is 0 everywhere", "replace it by the right file")
    else:
        yield from scan_findings(image, affine)


def likeness_problems(
    case: Case, images: Mapping[str, np.ndarray], affines: Mapping[str, np.ndarray], strict: bool = False
) -> Iterator[Problem]:
    """Yield images that look like another modality than they are given as, and a brain of an unusual size.

    Args:
        case: the case.
        images: modality to sound volume, ``(X, Y, Z)``; 0 outside the brain.
        affines: voxel index to position in mm by modality, ``(4, 4)`` each.
        strict: whether a doubtful modality is an error.
    """
    features = {modality: image_features(image, affines[modality]) for modality, image in images.items()}
    for doubt in doubtful_modalities(features):
        where, severity = case.modalities[doubt.modalities[0]], "error" if strict else "warning"
        fix = "look at it, and say what it is, such as with --flair FILE of pkdr predict"
        yield Problem(case.name, where, doubt.what, fix, severity)  # type: ignore[arg-type]
    for modality in [modality for modality, measured in features.items() if measured is not None][:1]:
        size = doubtful_size(images[modality], affines[modality])
        if size:
            fix = "expect less of the result, and check that the brain is whole and its mask right"
            yield Problem(case.name, case.modalities[modality], f"{modality} {size}", fix, "warning")


def label_problems(case: Case, label: np.ndarray, values: Mapping[str, int]) -> Iterator[Problem]:
    """Yield what is wrong with the label by itself: values that its scheme does not have, or no tumour at all.

    Args:
        case: the case.
        label: label map, ``(X, Y, Z)``.
        values: label values of its scheme, by the name of the tissue.
    """
    where = case.label or "."
    try:
        label = whole_labels(label)
    except InputError as error:
        what, _, fix = str(error).rstrip(".").partition(": ")
        yield Problem(case.name, where, what, fix)
        return
    found = frozenset(np.unique(label[label != 0]).tolist())
    if not found:
        if HEALTHY_FOLDER in PurePath(where).parts:
            return
        yield Problem(case.name, where, "the label is empty: no voxel is tumour", "replace it, or exclude the case")
    elif not found <= set(values.values()):
        yield Problem(case.name, where, *_foreign_values(found, values))


def _foreign_values(found: frozenset[int], values: Mapping[str, int]) -> tuple[str, str]:
    """Say which values a scheme does not have, and what they mean in the schemes that have them."""
    if len(found) == 1:
        (value,) = found
        if value not in {value for scheme in LABEL_SCHEMES.values() for value in scheme.values()}:
            what = f"the label is a mask of 0 and {value}, not a label map of tissues"
            return what, "a mask shows one region only: take the label map of the data set"
    foreign = sorted(found - set(values.values()))
    shown = ", ".join(map(str, foreign[:SHOWN]))
    expected = ", ".join(map(str, sorted(values.values())))
    meanings = [f"{meaning_of(foreign, name)} in {name}" for name in schemes_with(found)]
    if not meanings:
        return f"the label holds {shown}; expected 0, {expected}", "no known scheme has these values: relabel the case"
    fix = f"{'; '.join(meanings)}: name the scheme that the data set's documents give, with --label_scheme"
    return f"the label holds {shown}; expected 0, {expected}", fix


def joint_problems(
    case: Case, images: dict[str, np.ndarray], label: np.ndarray | None, et: int, voxel_volume: float
) -> Iterator[Problem]:
    """Yield what only shows when the files of a case are laid over each other. They have one shape.

    Args:
        case: the case.
        images: modality to volume, ``(X, Y, Z)``; 0 outside the brain.
        label: label map, ``(X, Y, Z)``.
        et: value of enhancing tumour in it.
        voxel_volume: volume of a voxel in mm³.
    """
    shown = {modality: image != 0 for modality, image in images.items()}
    brain = np.logical_or.reduce(list(shown.values()))
    tumour = np.zeros_like(brain) if label is None else label > 0
    if label is not None:
        yield from _label_outside(case, tumour, brain)
    yield from _narrow_view(case, shown, brain, tumour)
    if label is not None:
        yield from _doubtful_enhancement(case, images, brain & ~tumour, label == et, voxel_volume)


def _label_outside(case: Case, tumour: np.ndarray, brain: np.ndarray) -> Iterator[Problem]:
    outside, labelled = np.count_nonzero(tumour & ~brain), np.count_nonzero(tumour)
    if outside > LABEL_OUTSIDE * labelled:
        what = f"{outside:,} of {labelled:,} labelled voxels lie outside the brain, where every modality is 0"
        yield Problem(case.name, case.label or ".", what, "check that the label belongs to these images")


def _narrow_view(case: Case, shown: dict[str, np.ndarray], brain: np.ndarray, tumour: np.ndarray) -> Iterator[Problem]:
    size, labelled = np.count_nonzero(brain), np.count_nonzero(tumour & brain)
    for modality, view in shown.items():
        covered = np.count_nonzero(view)
        unseen = np.count_nonzero(tumour & brain & ~view)
        if covered and (covered < BRAIN_COVERED * size or unseen > LABEL_OUTSIDE * labelled):
            what = (
                f"{modality} has a smaller field of view: it shows {covered / size:.0%} of the brain that all "
                f"modalities show together, and is 0 on {unseen:,} of {labelled:,} labelled voxels"
            )
            fix = f"look at it; a student of {modality} alone cannot see the rest"
            yield Problem(case.name, case.modalities[modality], what, fix, "warning")


def _doubtful_enhancement(
    case: Case, images: dict[str, np.ndarray], healthy: np.ndarray, et: np.ndarray, voxel_volume: float
) -> Iterator[Problem]:
    """Yield a warning for an enhancing tumour that is tiny, or that contrast agent does not brighten.

    Brightness is the mean over ET in standard deviations of the brain outside the tumour, so that T1 and T1ce compare.
    """
    volume = np.count_nonzero(et) * voxel_volume
    if not volume:
        return  # usual in low-grade gliomas
    if volume < SMALL_ET:
        what = f"enhancing tumour is very small: {volume:,.0f} mm³"
        yield Problem(case.name, case.label or ".", what, "expect an unsteady Dice of ET", "warning")
    if not {"t1", "t1ce"} <= set(images):
        return
    before, after = (_brightness(images[modality], et, healthy) for modality in ("t1", "t1ce"))
    if after <= before:  # False for NaN, where there is no healthy brain to compare with
        what = f"enhancing tumour is no brighter in t1ce ({after:+.2f} SD of the brain) than in t1 ({before:+.2f} SD)"
        yield Problem(case.name, case.modalities["t1ce"], what, "check that t1 and t1ce are not swapped", "warning")


def _brightness(image: np.ndarray, region: np.ndarray, healthy: np.ndarray) -> float:
    reference = image[healthy & (image != 0)]
    spread = float(reference.std(dtype=np.float64)) if reference.size else 0.0
    if not spread:
        return float("nan")
    return (float(image[region].mean(dtype=np.float64)) - float(reference.mean(dtype=np.float64))) / spread
