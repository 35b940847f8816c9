"""A small predicted ET becomes necrosis, and nothing else changes."""

from __future__ import annotations

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.regions import check_et_rule, regions_to_label, small_et_to_necrosis


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
