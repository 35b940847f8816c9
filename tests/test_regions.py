"""Regions and labels say the same, and a small ET may become necrosis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.regions import (
    LABEL_SCHEMES,
    REGIONS,
    TISSUES,
    check_et_rule,
    label_to_regions,
    regions_to_label,
    rounded_labels,
    scheme_labels,
    small_et_to_necrosis,
    whole_labels,
)


def test_every_scheme_names_the_three_tissues_and_maybe_others() -> None:
    assert all({"ncr", "ed", "et"} <= set(values) <= set(TISSUES) for values in LABEL_SCHEMES.values())


@pytest.mark.parametrize(
    ("label_scheme", "value", "region"),
    [
        ("brats2024_gli", 4, [0, 0, 0]),  # a resection cavity is background
        ("brats2024_gli", 3, [1, 1, 1]),
        ("brats2024_ped", 1, [1, 1, 1]),
        ("brats2024_ped", 2, [1, 1, 0]),
        ("brats2024_ped", 3, [1, 1, 0]),  # a cyst is core
        ("brats2024_ped", 4, [0, 1, 0]),
    ],
)
def test_labels_of_2024_are_read_as_their_challenge_defines_them(
    label_scheme: str, value: int, region: list[int]
) -> None:
    label = torch.tensor([0, value]).reshape(2, 1, 1)
    assert label_to_regions(label, label_scheme)[:, 1, 0, 0].tolist() == region


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_label_within_a_thousandth_of_a_whole_number_is_rounded(dtype: torch.dtype) -> None:
    label = torch.tensor([0, 1, 2, 4], dtype=dtype).reshape(4, 1, 1)
    for factor in (0.99999994, 1.0002):
        assert torch.equal(label_to_regions(label * factor), label_to_regions(label))
        assert whole_labels((label * factor).numpy()).ravel().tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3.99, "not whole numbers, such as 3.99"),
        (float("nan"), "not whole numbers"),
        (-1.0, "from 0 to 255"),
        (260, "260"),
    ],
)
def test_label_that_is_no_small_whole_number_is_refused(value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        whole_labels(np.array([0, value]))
    with pytest.raises(InputError, match=message):
        rounded_labels(torch.tensor([0, value]))


@pytest.mark.parametrize("label_scheme", LABEL_SCHEMES)
def test_regions_are_nested_and_hold_their_tissues(label_scheme: str) -> None:
    values = scheme_labels(label_scheme)
    label = torch.tensor([0, values["ncr"], values["ed"], values["et"]]).reshape(4, 1, 1)
    regions = dict(zip(REGIONS, label_to_regions(label, label_scheme).flatten(1).tolist(), strict=True))
    assert regions == {"tc": [0, 1, 0, 1], "wt": [0, 1, 1, 1], "et": [0, 0, 0, 1]}


@pytest.mark.parametrize("label_scheme", LABEL_SCHEMES)
def test_label_survives_the_way_to_regions_and_back(label_scheme: str) -> None:
    scheme = scheme_labels(label_scheme)
    values = torch.tensor([0, *(scheme[tissue] for tissue in ("ncr", "ed", "et"))])
    label = values[torch.randint(0, 4, (1, 3, 4, 5), generator=torch.Generator().manual_seed(0))]
    again = regions_to_label(label_to_regions(label, label_scheme), label_scheme)
    assert again.dtype == torch.uint8
    assert torch.equal(again, label.to(torch.uint8))


def test_channel_axis_of_a_label_is_optional() -> None:
    label = torch.tensor([0, 1, 2, 4]).reshape(1, 4, 1, 1)
    assert torch.equal(label_to_regions(label), label_to_regions(label[0]))


def test_smaller_region_wins_where_predictions_are_not_nested() -> None:
    only_et = torch.tensor([0, 0, 1]).reshape(3, 1, 1, 1)
    assert regions_to_label(only_et).item() == 4


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (9, "9")])
def test_label_of_another_scheme_is_refused_not_made_background(value: float, shown: str) -> None:
    label = torch.tensor([0, value]).reshape(2, 1, 1)
    with pytest.raises(InputError, match=rf"label value {shown} is not in scheme 'brats2018' \(0 and \[1, 2, 4\]\)"):
        label_to_regions(label, "brats2018")


def test_unknown_scheme_is_refused_with_the_choices() -> None:
    with pytest.raises(
        InputError,
        match="unknown label_scheme 'brats': choose among brats2018, brats2023, brats2024_gli, brats2024_ped, msd",
    ):
        scheme_labels("brats")


def regions_with(et_voxels: int) -> torch.Tensor:
    """Return 10x10x10 voxels of TC and WT, of which the first ones are ET."""
    regions = torch.ones(3, 10, 10, 10, dtype=torch.bool)
    regions[2] = (torch.arange(1000) < et_voxels).reshape(10, 10, 10)
    return regions


def test_et_below_the_volume_becomes_necrosis() -> None:
    label = regions_to_label(small_et_to_necrosis(regions_with(499), 500, 1.0))
    assert label.unique().tolist() == [1]


def test_et_of_exactly_the_volume_stays() -> None:
    regions = regions_with(500)
    assert small_et_to_necrosis(regions, 500, 1.0) is regions
    assert small_et_to_necrosis(regions, 500, 0.9999999) is regions  # an affine in float32


def test_the_threshold_is_a_volume_and_not_a_count() -> None:
    regions = regions_with(100)
    assert small_et_to_necrosis(regions, 500, 8.0) is regions
    assert not small_et_to_necrosis(regions, 500, 1.0)[2].any()


def test_core_and_whole_tumour_stay_as_they_are() -> None:
    regions = regions_with(3)
    assert torch.equal(small_et_to_necrosis(regions, 500, 1.0)[:2], regions[:2])


@pytest.mark.parametrize("count", [0, 1, 499])
def test_a_rule_of_0_changes_nothing(count: int) -> None:
    regions = regions_with(count)
    assert small_et_to_necrosis(regions, 0, 1.0) is regions


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_threshold_that_is_no_volume_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="0 or more"):
        check_et_rule(value)
