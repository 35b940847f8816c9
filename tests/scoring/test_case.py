"""A score is what its definition says, by other means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric
from monai.transforms import LoadImage

from pkdr_monai.errors import InputError
from pkdr_monai.metrics import HD95Metric
from pkdr_monai.regions import label_to_regions
from pkdr_monai.scoring.case import COLUMNS, check_grids, columns, score_case
from tests.scoring import brats_figures
from tests.scoring.conftest import TISSUES, random_label

SPACINGS = (1.0, 1.5, 3.0)
AFFINE = np.diag([*SPACINGS, 1.0])
BRATS = {"wt": (1, 2, 4), "tc": (1, 4), "et": (4,)}

Writer = Callable[..., Path]


def brats_dice(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return Dice as BraTS defines it, in plain NumPy."""
    result = {}
    for region, values in BRATS.items():
        one, other = np.isin(found, values), np.isin(true, values)
        total = int(one.sum()) + int(other.sum())
        result[region] = 2 * int((one & other).sum()) / total if total else 1.0
    return result


def brute_force_hd95(found: np.ndarray, true: np.ndarray) -> float:
    """Return the HD95 of two masks by a loop over every pair of border voxels."""

    def border(mask: np.ndarray) -> list[tuple[int, ...]]:
        padded = np.pad(mask, 1)
        inside = [place for place in itertools.product(*map(range, mask.shape)) if mask[place]]
        steps = [*np.eye(3, dtype=int), *-np.eye(3, dtype=int)]
        return [place for place in inside if not all(padded[tuple(np.add(place, 1) + step)] for step in steps)]

    def directed(here: list[tuple[int, ...]], there: list[tuple[int, ...]]) -> float:
        nearest = [min(math.dist(np.multiply(p, SPACINGS), np.multiply(q, SPACINGS)) for q in there) for p in here]
        return float(np.percentile(nearest, 95))

    one, other = border(found), border(true)
    return max(directed(one, other), directed(other, one))


def scores_of(write_labels: Writer, found: np.ndarray, true: np.ndarray, et_rule: float = 0.0) -> dict[str, float]:
    folder = write_labels("labels", {"found.nii.gz": found, "true.nii.gz": true}, AFFINE)
    files = (folder / "found.nii.gz", folder / "true.nii.gz")
    return score_case("a", *files, "brats2018", "brats2018", et_rule)


@pytest.mark.parametrize("seed", range(4))
def test_dice_is_that_of_a_plain_brats_evaluation(seed: int, write_labels: Writer) -> None:
    found, true = random_label(seed), random_label(seed + 10)
    scores = scores_of(write_labels, found, true)
    expected = brats_dice(found, true)
    assert {region: scores[f"dice_{region}"] for region in BRATS} == pytest.approx(expected, abs=1e-6)
    assert scores["dice_mean"] == pytest.approx(np.mean(list(expected.values())), abs=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_hd95_is_the_larger_of_both_directed_percentiles(seed: int, write_labels: Writer) -> None:
    found, true = random_label(seed), random_label(seed + 10)
    scores = scores_of(write_labels, found, true)
    for region, values in BRATS.items():
        expected = brute_force_hd95(np.isin(found, values), np.isin(true, values))
        assert scores[f"hd95_{region}"] == pytest.approx(expected, rel=1e-5)


def test_the_figures_are_those_of_the_metrics_of_an_evaluation(write_labels: Writer) -> None:
    """The evaluation reads the files by MONAI, in their own orientation, here one that is not RAS."""
    affine = np.array([[0, -2.0, 0, 5], [-1.0, 0, 0, 7], [0, 0, 1.5, -3], [0, 0, 0, 1]])
    labels = {"found.nii.gz": random_label(1), "true.nii.gz": random_label(2)}
    folder = write_labels("labels", labels, affine)
    found, true = (LoadImage(ensure_channel_first=True)(folder / name) for name in labels)
    regions = [label_to_regions(label, "brats2018")[None] for label in (found, true)]
    dice = DiceMetric(include_background=True, ignore_empty=False)(*regions)[0].tolist()
    hd95 = HD95Metric(true.pixdim.tolist())(*regions)[0].tolist()
    scores = score_case("a", folder / "found.nii.gz", folder / "true.nii.gz", "brats2018", "brats2018")
    assert [scores[f"dice_{region}"] for region in ("tc", "wt", "et")] == pytest.approx(dice, abs=1e-7)
    assert [scores[f"hd95_{region}"] for region in ("tc", "wt", "et")] == pytest.approx(hd95, rel=1e-6)


def test_nothing_where_nothing_is_counts_as_found(write_labels: Writer) -> None:
    empty = np.zeros((6, 7, 8), np.uint8)
    expected = {column: 1.0 if column.startswith("dice") else 0.0 for column in COLUMNS}
    assert scores_of(write_labels, empty, empty) == expected


def test_a_region_on_one_side_alone_has_dice_0_and_the_diagonal(write_labels: Writer) -> None:
    true, found = random_label(0), random_label(0)
    found[found == 4] = 1
    diagonal = math.hypot(*np.multiply(true.shape, SPACINGS))
    for one, other in ((found, true), (true, found)):
        scores = scores_of(write_labels, one, other)
        assert (scores["dice_et"], scores["dice_tc"]) == (0.0, 1.0)
        assert scores["hd95_et"] == pytest.approx(diagonal)


@pytest.mark.parametrize("scheme", ["brats2023", "msd"])
def test_schemes_of_prediction_and_truth_may_differ(scheme: str, write_labels: Writer) -> None:
    found, true = random_label(1), random_label(2)
    translated = np.zeros_like(found)
    for value, own in zip(TISSUES["brats2018"], TISSUES[scheme], strict=True):
        translated[found == value] = own
    folder = write_labels("labels", {"found.nii.gz": translated, "true.nii.gz": true}, AFFINE)
    scores = score_case("a", folder / "found.nii.gz", folder / "true.nii.gz", scheme, "brats2018")
    assert scores == scores_of(write_labels, found, true)


def test_the_et_rule_scores_et_a_second_time_and_leaves_the_rest(write_labels: Writer) -> None:
    true = random_label(2)
    found = np.where(true == 4, 1, true).astype(np.uint8)
    found[6, 5, 5] = 4  # 4.5 mm³
    none = np.where(true == 4, 1, true).astype(np.uint8)
    plain, ruled = scores_of(write_labels, found, none), scores_of(write_labels, found, none, et_rule=5)
    assert {column: ruled[column] for column in COLUMNS} == plain
    assert (ruled["dice_et"], ruled["dice_et_rule"], ruled["hd95_et_rule"]) == (0.0, 1.0, 0.0)
    assert tuple(ruled) == columns(5)
    kept = scores_of(write_labels, found, true, et_rule=4.5)
    assert (kept["dice_et_rule"], kept["hd95_et_rule"]) == (kept["dice_et"], kept["hd95_et"])


def test_the_et_rule_never_touches_the_truth(write_labels: Writer) -> None:
    empty, true = np.zeros((6, 7, 8), np.uint8), np.zeros((6, 7, 8), np.uint8)
    true[2, 2, 2] = 4
    assert scores_of(write_labels, empty, true, et_rule=500)["dice_et_rule"] == 0.0


def test_another_order_of_axes_is_the_same_grid(write_labels: Writer) -> None:
    label = random_label(3)
    flipped = np.diag([-1.0, 1.5, 3.0, 1.0])
    flipped[0, 3] = label.shape[0] - 1
    write_labels("labels", {"found.nii.gz": label[::-1]}, flipped)
    folder = write_labels("labels", {"true.nii.gz": label}, AFFINE)
    check_grids("a", folder / "found.nii.gz", folder / "true.nii.gz")
    scores = score_case("a", folder / "found.nii.gz", folder / "true.nii.gz", "brats2018", "brats2018")
    assert (scores["dice_mean"], scores["hd95_mean"]) == (1.0, 0.0)


def test_other_grids_are_refused_in_one_sentence(write_labels: Writer) -> None:
    folder = write_labels("labels", {"true.nii.gz": random_label(0), "small.nii.gz": random_label(0)[1:]}, AFFINE)
    moved = AFFINE.copy()
    moved[0, 3] = 1.0
    write_labels("labels", {"moved.nii.gz": random_label(0)}, moved)
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.uint8), AFFINE), folder / "hot.nii.gz")
    true = folder / "true.nii.gz"
    with pytest.raises(InputError, match=r"case a: the prediction has 11x11x10 voxels, the truth 12x11x10"):
        check_grids("a", folder / "small.nii.gz", true)
    with pytest.raises(InputError, match=r"another affine than the truth"):
        check_grids("a", folder / "moved.nii.gz", true)
    turned = AFFINE.copy()
    turned[:3, :3] = (
        np.array([[np.cos(0.09), -np.sin(0.09), 0], [np.sin(0.09), np.cos(0.09), 0], [0, 0, 1]]) @ turned[:3, :3]
    )
    for name, affine in {"turned": turned, "larger": AFFINE @ np.diag([1.09, 1.09, 1.09, 1.0])}.items():
        write_labels("labels", {f"{name}.nii.gz": random_label(0)}, affine)
        with pytest.raises(InputError, match=r"another affine than the truth"):
            check_grids("a", folder / f"{name}.nii.gz", true)
    rounded = AFFINE.copy()
    rounded[0, 3] += 0.05
    write_labels("labels", {"rounded.nii.gz": random_label(0)}, rounded)
    check_grids("a", folder / "rounded.nii.gz", true)
    with pytest.raises(InputError, match=r"the shape 4x4x4x3, expected one label map, \(X, Y, Z\)"):
        check_grids("a", folder / "hot.nii.gz", true)


def test_values_of_another_scheme_and_broken_files_are_named(write_labels: Writer) -> None:
    folder = write_labels("labels", {"found.nii.gz": random_label(0), "true.nii.gz": random_label(0)}, AFFINE)
    files = (folder / "found.nii.gz", folder / "true.nii.gz")
    with pytest.raises(
        InputError, match=r"case a: the prediction .*label value 4 is not in.* The option is --label_sch"
    ):
        score_case("a", *files, "brats2023", "brats2018")
    with pytest.raises(InputError, match=r"case a: the truth .* The option is --truth_scheme"):
        score_case("a", *files, "brats2018", "msd")
    files[0].write_bytes(b"")
    with pytest.raises(InputError, match=r"case a: the prediction .* cannot be read: the file is empty"):
        check_grids("a", *files)


def test_regions_are_nested_as_a_label_map_holds_them() -> None:
    tc, wt, et = label_to_regions(torch.from_numpy(random_label(0)), "brats2018").bool()
    assert bool((wt | ~tc).all() and (tc | ~et).all())


@pytest.mark.parametrize("seed", brats_figures.SEEDS)
def test_dice_is_that_of_the_public_evaluation_of_brats_2023(seed: int, write_labels: Writer) -> None:
    found, true = brats_figures.label_maps(seed)
    folder = write_labels("labels", {"found.nii.gz": found, "true.nii.gz": true}, np.eye(4))
    scores = score_case("a", folder / "found.nii.gz", folder / "true.nii.gz", "brats2023", "brats2023")
    for region, (dice, hd95) in brats_figures.FIGURES[seed].items():
        assert scores[f"dice_{region}"] == pytest.approx(dice, abs=1e-6)
        if hd95 < 374:  # theirs where one mask is empty; ours is the image's diagonal
            assert scores[f"hd95_{region}"] == pytest.approx(hd95, abs=1.0)  # their surfaces lie between the voxels
