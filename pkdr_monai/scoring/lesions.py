"""The lesions of a region one by one: which are found, missed and invented, and how well each is segmented."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pkdr_monai.errors import InputError

__all__ = ["LESION_VOLUME", "LesionCount", "LesionRule", "compare_lesions"]

LESION_VOLUME = 50.0
"""Volume in mm³ up to which a lesion is left out, as the challenges since BraTS 2023 leave out true ones."""
NEIGHBOURS = np.ones((3, 3, 3), bool)  # 26: voxels that share a corner belong together


@dataclass(frozen=True)
class LesionRule:
    """When a true lesion counts as found.

    Args:
        iou: intersection over union that a predicted lesion needs with it, over 0 and up to 1; 0 counts no lesions.
        volume: lesions of up to this volume in mm³ are left out, true and predicted ones alike.

    Raises:
        InputError: when one of them is out of its range.

    Example:
        >>> LesionRule(0.5).volume
        50.0
    """

    iou: float = 0.0
    volume: float = LESION_VOLUME

    def __post_init__(self) -> None:
        if not 0 <= self.iou <= 1:
            raise InputError(
                f"lesions is an intersection over union, over 0 and up to 1, got {self.iou:g}: 0.5 is usual, "
                "0 counts no lesions."
            )
        if not self.volume >= 0:
            raise InputError(f"lesion_volume is a volume in mm³, 0 or more, got {self.volume:g}: 50 is usual.")


@dataclass(frozen=True)
class LesionCount:
    """The lesions of one region in one case.

    Args:
        found: true lesions with a predicted one (true positives).
        missed: true lesions without one (false negatives).
        invented: predicted lesions without a true one (false positives).
        dice: mean Dice over all of these, 0 for missed and invented ones; 1 where there is none at all.
    """

    found: int
    missed: int
    invented: int
    dice: float


def compare_lesions(prediction: np.ndarray, truth: np.ndarray, rule: LesionRule, voxel_volume: float) -> LesionCount:
    """Match the lesions of two masks, one to one, from the best overlap to the least that counts.

    A lesion is a set of voxels that touch each other at a face, an edge or a corner. Pairs are taken in the order of
    their intersection over union, the largest first; a lesion that has a partner takes no other. It is the matching of
    panoptica's ``NaiveThresholdMatching`` (Kofler et al., arXiv:2312.02608).

    Args:
        prediction: bool, ``(X, Y, Z)``.
        truth: bool, ``(X, Y, Z)``.
        rule: what counts as a lesion, and as found.
        voxel_volume: volume of a voxel in mm³.

    Example:
        >>> truth = np.zeros((9, 9, 9), bool)
        >>> truth[:3, :3, :3] = truth[6:, 6:, 6:] = True
        >>> prediction = np.zeros_like(truth)
        >>> prediction[:3, :3, :2] = prediction[:2, :2, 5:7] = True
        >>> compare_lesions(prediction, truth, LesionRule(0.5, volume=0), 1.0)
        LesionCount(found=1, missed=1, invented=1, dice=0.26666666666666666)
    """
    found, found_sizes = _lesions(prediction, rule.volume, voxel_volume)
    true, true_sizes = _lesions(truth, rule.volume, voxel_volume)
    partners: dict[int, int] = {}
    scores = []
    for overlap, one, other in sorted(_overlaps(found, true, found_sizes, true_sizes), key=lambda pair: -pair[0]):
        if overlap >= rule.iou and one not in partners.values() and other not in partners:
            partners[other] = one
            scores.append(2 * overlap / (1 + overlap))  # the Dice of this intersection over union
    missed = int(np.count_nonzero(true_sizes)) - len(partners)
    invented = int(np.count_nonzero(found_sizes)) - len(partners)
    everything = len(partners) + missed + invented
    return LesionCount(len(partners), missed, invented, sum(scores) / everything if everything else 1.0)


def _lesions(mask: np.ndarray, volume: float, voxel_volume: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the lesions over a volume in mm³ as numbers from 1, and the voxels of each number, 0 if it is left out."""
    numbered, _ = ndimage.label(mask, NEIGHBOURS)
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    sizes[np.round(sizes * voxel_volume, 3) <= volume] = 0  # an affine in float32 makes 1 mm³ of 1.0000001
    return np.where(sizes[numbered] > 0, numbered, 0), sizes


def _overlaps(
    found: np.ndarray, true: np.ndarray, found_sizes: np.ndarray, true_sizes: np.ndarray
) -> list[tuple[float, int, int]]:
    """Return the intersection over union of each predicted and true lesion that meet, with their numbers."""
    both = (found > 0) & (true > 0)
    pairs, counts = np.unique(np.stack([found[both], true[both]]), axis=1, return_counts=True)
    return [
        (float(shared / (found_sizes[one] + true_sizes[other] - shared)), int(one), int(other))
        for one, other, shared in zip(*pairs, counts, strict=True)
    ]
