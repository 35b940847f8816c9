"""Labels, volumes and doubt follow from the probabilities alone."""

from __future__ import annotations

import pytest
import torch

from pkdr_monai.inference.postprocessing import binary_regions, entropy, label_map, region_volumes


def nested(*shape: int) -> torch.Tensor:
    """Return nested probabilities TC, WT, ET."""
    et, tc, wt = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)).sort(0).values
    return torch.stack([tc, wt, et])


def test_half_is_in() -> None:
    probabilities = torch.tensor([0.4999, 0.5]).expand(3, 1, 1, 2)
    assert label_map(binary_regions(probabilities), "brats2018").flatten().tolist() == [0, 4]


def test_small_pieces_go_and_regions_stay_nested() -> None:
    probabilities = nested(16, 16, 16)
    for smallest in (2, 5, 50):
        tc, wt, et = binary_regions(probabilities, smallest)
        assert bool((wt | ~tc).all() and (tc | ~et).all())
    assert torch.equal(binary_regions(probabilities, 0), probabilities >= 0.5)


def test_pieces_that_touch_by_a_corner_are_one() -> None:
    probabilities = torch.zeros(3, 4, 4, 4)
    probabilities[:, 0, 0, 0] = probabilities[:, 1, 1, 1] = 1
    probabilities[:, 3, 3, 3] = 1
    assert int(binary_regions(probabilities, 2)[1].sum()) == 2
    assert int(binary_regions(probabilities, 3)[1].sum()) == 0


def test_volumes_are_those_of_the_labels_within_their_interval() -> None:
    probabilities = nested(12, 12, 12)
    volumes = region_volumes(probabilities, voxel_volume=2.5)
    assert volumes["wt"]["ml"] == pytest.approx(int((probabilities[1] >= 0.5).sum()) * 2.5 / 1000)
    for volume in volumes.values():
        assert volume["low"] < volume["ml"] < volume["high"]
    assert volumes["wt"]["ml"] >= volumes["tc"]["ml"] >= volumes["et"]["ml"]


def test_no_tumour_has_no_volume() -> None:
    assert region_volumes(torch.zeros(3, 4, 4, 4), 1.0, smallest=5)["et"] == {"ml": 0.0, "low": 0.0, "high": 0.0}


def test_doubt_is_largest_at_a_half_and_the_same_for_both_sides() -> None:
    probabilities = torch.linspace(0, 1, 101)
    doubt = entropy(probabilities)
    assert float(doubt[50]) == pytest.approx(1.0)
    assert int(doubt.argmax()) == 50
    torch.testing.assert_close(doubt, doubt.flip(0))
    assert bool(torch.isfinite(doubt).all())


def test_the_et_rule_acts_on_each_threshold_of_a_volume() -> None:
    probabilities = torch.zeros(3, 4, 4, 4)
    probabilities[:, 0] = 0.9  # 16 voxels
    probabilities[:, 1] = 0.6
    plain = region_volumes(probabilities, voxel_volume=1.0)
    ruled = region_volumes(probabilities, voxel_volume=1.0, et_rule=20)
    assert plain["et"] == {"ml": 0.032, "low": 0.016, "high": 0.032}
    assert ruled == {**plain, "et": {"ml": 0.032, "low": 0.0, "high": 0.032}}
