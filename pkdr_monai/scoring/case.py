"""One predicted label map against the truth: Dice and HD95 of each region, the ET rule, and single lesions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from pkdr_monai.data.geometry import is_same_grid
from pkdr_monai.data.headers import Header, UnreadableError, describe_shape, read_header
from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS, SHOWN, small_et_to_necrosis
from pkdr_monai.reporting.computed import dice, hd95
from pkdr_monai.reporting.volumes import Predicted, ShownCase, read_canonical, regions_of

__all__ = [
    "COLUMNS",
    "LESION_VOLUME",
    "LesionCount",
    "LesionRule",
    "check_grids",
    "columns",
    "compare_lesions",
    "score_case",
]

COLUMNS: tuple[str, ...] = tuple(f"{metric}_{region}" for metric in ("dice", "hd95") for region in (*SHOWN, "mean"))
"""The scores of a case: Dice, from 0 to 1, and HD95 in mm."""
RULED = ("dice_et_rule", "hd95_et_rule")
LESIONS = tuple(
    f"{what}_{region}"
    for what in ("lesions_found", "lesions_missed", "lesions_invented", "lesion_dice")
    for region in SHOWN
)
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


NO_LESIONS = LesionRule()


def columns(et_rule: float, lesions: float = 0.0) -> tuple[str, ...]:
    """Return the names of a case's scores; with the ET rule, ET is scored a second time, and lesions may be counted.

    Example:
        >>> columns(0)[:4], columns(500)[-2:]
        (('dice_wt', 'dice_tc', 'dice_et', 'dice_mean'), ('dice_et_rule', 'hd95_et_rule'))
        >>> columns(0, 0.5)[-3:]
        ('lesion_dice_wt', 'lesion_dice_tc', 'lesion_dice_et')
    """
    return COLUMNS + (RULED if et_rule else ()) + (LESIONS if lesions else ())


def check_grids(case: str, prediction: Path, truth: Path) -> None:
    """Refuse two label maps whose voxels do not lie in the same places; only headers are read.

    The order and the direction of axes may differ, as they do between programs.

    Raises:
        InputError: when one cannot be read, or their grids differ.
    """
    grids = [_grid(_header(case, what, path)) for what, path in (("prediction", prediction), ("truth", truth))]
    (shape, affine), (true_shape, true_affine) = grids
    if shape != true_shape:
        raise InputError(
            f"case {case}: the prediction has {describe_shape(shape)} voxels, the truth {describe_shape(true_shape)}: "
            "resample the prediction to the truth's grid, to the nearest voxel."
        )
    if not is_same_grid(shape, affine, true_affine):
        raise InputError(
            f"case {case}: the prediction has another affine than the truth, so that its voxels lie elsewhere: "
            "resample it to the truth's grid, to the nearest voxel, or copy the truth's header where that is at fault."
        )


def score_case(
    case: str,
    prediction: Path,
    truth: Path,
    label_scheme: str,
    truth_scheme: str,
    et_rule: float = 0.0,
    lesion_rule: LesionRule = NO_LESIONS,
) -> dict[str, float]:
    """Score one label map.

    Args:
        case: its name, for messages.
        prediction: the predicted label map.
        truth: the true one, on the same grid.
        label_scheme: scheme of the prediction's values.
        truth_scheme: scheme of the truth's values.
        et_rule: volume in mm³ below which the prediction's ET counts as necrosis in ``dice_et_rule`` and
            ``hd95_et_rule``; 0 leaves these out. All other scores are those without the rule.
        lesion_rule: which lesions count, and as found; by default none is counted.

    Returns:
        A score for each of :func:`columns`.

    Raises:
        InputError: when a file cannot be read, or has a value that its scheme lacks.
    """
    found, _ = _regions(case, "prediction", prediction, label_scheme)
    true, affine = _regions(case, "truth", truth, truth_scheme)
    scan = ShownCase(case, "label", true[1], affine, true, Predicted(found, affine))
    scores: dict[str, float] = {}
    for metric, values in (("dice", dice(scan)), ("hd95", hd95(scan))):
        by_region = dict(zip(REGIONS, values, strict=True))
        scores |= {f"{metric}_{region}": by_region[region] for region in SHOWN}
        scores[f"{metric}_mean"] = float(np.mean(values))
    volume = float(abs(np.linalg.det(affine[:3, :3])))
    if et_rule:
        before = torch.from_numpy(found)
        after = small_et_to_necrosis(before, et_rule, volume)
        ruled = (scores["dice_et"], scores["hd95_et"])
        if after is not before:
            changed = replace(scan, prediction=Predicted(after.numpy(), affine))
            place = REGIONS.index("et")
            ruled = (dice(changed)[place], hd95(changed)[place])
        scores |= dict(zip(RULED, ruled, strict=True))
    if lesion_rule.iou:
        by_place = [
            compare_lesions(found[place], true[place], lesion_rule, volume) for place in map(REGIONS.index, SHOWN)
        ]
        for what in ("found", "missed", "invented", "dice"):
            name = "lesion_dice" if what == "dice" else f"lesions_{what}"
            scores |= {f"{name}_{region}": getattr(count, what) for region, count in zip(SHOWN, by_place, strict=True)}
    return scores


def _header(case: str, what: str, path: Path) -> Header:
    try:
        header = read_header(path)
    except UnreadableError as error:
        raise error.of(f"case {case}: the {what} {path}") from error
    if len(header.shape) != 3:
        raise InputError(
            f"case {case}: the {what} {path} has the shape {describe_shape(header.shape)}, expected one label map, "
            "(X, Y, Z): write tissues as the values of a label scheme."
        )
    return header


def _grid(header: Header) -> tuple[tuple[int, ...], np.ndarray]:
    """Return shape and affine as they are after turning to RAS."""
    import nibabel as nib

    turn = nib.orientations.io_orientation(header.affine)
    shape = tuple(int(header.shape[int(axis)]) for axis in np.argsort(turn[:, 0]))
    return shape, header.affine @ nib.orientations.inv_ornt_aff(turn, header.shape)


def _regions(case: str, what: str, path: Path, label_scheme: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        label, affine = read_canonical(path)
        return regions_of(label, label_scheme), affine
    except UnreadableError as error:
        raise error.of(f"case {case}: the {what} {path}") from error
    except InputError as error:
        option = "--truth_scheme" if what == "truth" else "--label_scheme"
        raise InputError(f"case {case}: the {what} {path}: {error} The option is {option}.") from error


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
