"""One predicted label map against the truth: Dice and HD95 of each region; the ET rule and lesions where asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pkdr_monai.data.headers import Header, UnreadableError, describe_shape, read_header
from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS, small_et_to_necrosis
from pkdr_monai.reporting.computed import dice, hd95
from pkdr_monai.reporting.scans import Predicted, Scan, read_canonical, regions_of
from pkdr_monai.scoring.lesions import LesionRule, compare_lesions

__all__ = ["COLUMNS", "check_grids", "columns", "score_case"]

SHOWN = ("wt", "tc", "et")  # from the largest region to the smallest, as tables have them
COLUMNS: tuple[str, ...] = tuple(f"{metric}_{region}" for metric in ("dice", "hd95") for region in (*SHOWN, "mean"))
"""The scores of a case: Dice, from 0 to 1, and HD95 in mm."""
RULED = ("dice_et_rule", "hd95_et_rule")
LESIONS = tuple(
    f"{what}_{region}"
    for what in ("lesions_found", "lesions_missed", "lesions_invented", "lesion_dice")
    for region in SHOWN
)
NO_LESIONS = LesionRule()
SHIFT = 0.1  # mm, by which two affines may differ: programs round them differently


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
    if not np.allclose(affine, true_affine, atol=SHIFT):
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
    scan = Scan(case, "label", true[1], affine, true, Predicted(found, affine))
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
        raise _unreadable(case, what, path, error) from error
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
        raise _unreadable(case, what, path, error) from error
    except InputError as error:
        option = "--truth_scheme" if what == "truth" else "--label_scheme"
        raise InputError(f"case {case}: the {what} {path}: {error} The option is {option}.") from error


def _unreadable(case: str, what: str, path: Path, error: UnreadableError) -> InputError:
    return InputError(f"case {case}: the {what} {path} cannot be read: {error.what}; {error.fix}.")
