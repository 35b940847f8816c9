"""Lesions are matched and counted as their definition says, by other means and by panoptica."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.scoring.case import LesionCount, LesionRule, columns, compare_lesions, score_case
from tests.scoring.panoptica_figures import FIGURES, SHAPE, masks

Place = tuple[int, ...]


def flood(mask: np.ndarray) -> list[set[Place]]:
    """Return the lesions of a mask by walking from voxel to voxel, over faces, edges and corners."""
    left = {place for place in itertools.product(*map(range, mask.shape)) if mask[place]}
    lesions = []
    while left:
        lesion, edge = set(), [min(left)]
        left.discard(edge[0])
        while edge:
            here = edge.pop()
            lesion.add(here)
            for step in itertools.product((-1, 0, 1), repeat=3):
                there = tuple(a + b for a, b in zip(here, step, strict=True))
                if there in left:
                    left.discard(there)
                    edge.append(there)
        lesions.append(lesion)
    return lesions


def by_loops(prediction: np.ndarray, truth: np.ndarray, iou: float, voxels: int) -> LesionCount:
    """Return the count by sets of voxels."""
    found, true = ([lesion for lesion in flood(mask) if len(lesion) > voxels] for mask in (prediction, truth))
    pairs = [(len(a & b) / len(a | b), i, j) for i, a in enumerate(found) for j, b in enumerate(true) if a & b]
    free_found, free_true, dice = set(range(len(found))), set(range(len(true))), []
    while pairs:
        best = max(pairs)
        pairs.remove(best)
        overlap, i, j = best
        if overlap >= iou and i in free_found and j in free_true:
            free_found.discard(i)
            free_true.discard(j)
            dice.append(2 * len(found[i] & true[j]) / (len(found[i]) + len(true[j])))
    everything = len(dice) + len(free_found) + len(free_true)
    return LesionCount(len(dice), len(free_true), len(free_found), sum(dice) / everything if everything else 1.0)


def box(*corners: tuple[Place, Place]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for start, stop in corners:
        mask[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))] = True
    return mask


@pytest.mark.parametrize("volume", [0, 45])
@pytest.mark.parametrize("iou", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_counts_and_dice_are_those_of_plain_loops(seed: int, iou: float, volume: int) -> None:
    prediction, truth = masks(seed)
    counted = compare_lesions(prediction, truth, LesionRule(iou, volume), 1.5)
    expected = by_loops(prediction, truth, iou, int(volume / 1.5))
    assert (counted.found, counted.missed, counted.invented) == (expected.found, expected.missed, expected.invented)
    assert counted.dice == pytest.approx(expected.dice, abs=1e-12)


@pytest.mark.parametrize(("seed", "iou"), FIGURES)
def test_counts_and_dice_are_those_of_panoptica(seed: int, iou: float) -> None:
    found, missed, invented, dice, sizes = FIGURES[seed, iou]
    prediction, truth = masks(seed)
    assert (prediction.sum(), truth.sum()) == sizes
    counted = compare_lesions(prediction, truth, LesionRule(iou, volume=0), 1.0)
    assert (counted.found, counted.missed, counted.invented) == (found, missed, invented)
    assert counted.dice * (found + missed + invented) == pytest.approx(dice * found, abs=1e-9)


def test_one_predicted_lesion_over_two_true_ones_finds_the_better_one() -> None:
    truth = box(((0, 0, 0), (5, 4, 4)), ((6, 0, 0), (10, 4, 4)))
    prediction = box(((0, 0, 0), (10, 4, 4)))
    counted = compare_lesions(prediction, truth, LesionRule(0.1), 1.0)
    assert (counted.found, counted.missed, counted.invented) == (1, 1, 0)
    assert counted.dice == pytest.approx(2 * 80 / (80 + 160) / 2)


def test_voxels_that_share_a_corner_are_one_lesion() -> None:
    mask = box(((0, 0, 0), (2, 2, 2)), ((2, 2, 2), (4, 4, 4)))
    assert compare_lesions(mask, mask, LesionRule(0.5, volume=0), 1.0) == LesionCount(1, 0, 0, 1.0)


def test_small_lesions_are_left_out_on_both_sides() -> None:
    large, small, other = ((0, 0, 0), (4, 4, 4)), ((8, 8, 8), (10, 10, 10)), ((15, 15, 15), (17, 17, 17))
    prediction, truth = box(large, other), box(large, small)
    assert compare_lesions(prediction, truth, LesionRule(0.5, 8), 1.0) == LesionCount(1, 0, 0, 1.0)
    assert compare_lesions(prediction, truth, LesionRule(0.5, 8), 1.01) == LesionCount(1, 1, 1, 1 / 3)


def test_empty_masks_score_1_and_one_empty_mask_0() -> None:
    empty, full = np.zeros(SHAPE, bool), box(((0, 0, 0), (4, 4, 4)))
    rule = LesionRule(0.5)
    assert compare_lesions(empty, empty, rule, 1.0) == LesionCount(0, 0, 0, 1.0)
    assert compare_lesions(full, empty, rule, 1.0) == LesionCount(0, 0, 1, 0.0)
    assert compare_lesions(empty, full, rule, 1.0) == LesionCount(0, 1, 0, 0.0)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ((-0.1, 50.0), "lesions is an inter"),
        ((1.5, 50.0), "got 1.5"),
        ((0.5, -1.0), "lesion_volume is a volume in mm³"),
    ],
)
def test_thresholds_out_of_range_are_refused(values: tuple[float, float], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        LesionRule(*values)


def test_a_case_has_the_lesions_of_each_region(write_labels: Callable[..., Path]) -> None:
    """Two true lesions of oedema with a core in the first, which is found; the core is in another place."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    true = box(((0, 0, 0), (5, 5, 5)), ((10, 10, 10), (14, 14, 14))).astype(np.uint8) * 2
    found = box(((0, 0, 0), (5, 5, 5))).astype(np.uint8) * 2
    true[0:2, 0:2, 0:2], found[3:5, 3:5, 3:5] = 4, 4
    folder = write_labels("labels", {"found.nii.gz": found, "true.nii.gz": true}, affine)
    files = (folder / "found.nii.gz", folder / "true.nii.gz")
    scores = score_case("a", *files, "brats2018", "brats2018", lesion_rule=LesionRule(0.5))
    assert tuple(scores) == columns(0, 0.5)
    lesions = {name: value for name, value in scores.items() if name.startswith("lesion")}
    counts = {"found": {"wt": 1, "tc": 0, "et": 0}, "missed": {"wt": 1, "tc": 1, "et": 1}}
    counts |= {"invented": {"wt": 0, "tc": 1, "et": 1}}
    expected = {f"lesions_{what}_{region}": count for what, each in counts.items() for region, count in each.items()}
    assert lesions == expected | {"lesion_dice_wt": 0.5, "lesion_dice_tc": 0.0, "lesion_dice_et": 0.0}
