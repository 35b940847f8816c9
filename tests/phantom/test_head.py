"""A head has what surrounds a brain, and the brain of the case in it, voxel for voxel."""

from __future__ import annotations

import numpy as np
import pytest

from pkdr_monai.data.voxels import scan_findings
from pkdr_monai.phantom.case import make_case
from pkdr_monai.phantom.head import PhantomHead, make_head

SHAPE, SPACING = (96, 96, 80), (2.5, 2.5, 2.5)


@pytest.fixture(scope="module")
def head() -> PhantomHead:
    return make_head(7, SHAPE, SPACING)


def test_the_brain_of_the_case_is_in_it_voxel_for_voxel(head: PhantomHead) -> None:
    case = make_case(7, SHAPE, SPACING)
    assert np.array_equal(head.affine, case.affine)
    for modality, image in case.images.items():
        assert np.array_equal(head.images[modality] * head.brain, image)
        assert np.array_equal(image > 0, head.brain)


def test_it_is_as_large_as_a_head_and_no_network_takes_it_for_a_brain(head: PhantomHead) -> None:
    for image in head.images.values():
        assert next(scan_findings(image, head.affine)).what.startswith("does not look skull-stripped")
    litres = np.count_nonzero(head.images["t1"] > head.images["t1"].max() / 8) * np.prod(SPACING) / 1e6
    assert 3 < litres < 6  # of all that is not air or bone


def test_from_the_brain_outwards_come_fluid_dark_bone_and_bright_fat(head: PhantomHead) -> None:
    """Along rays to the left, to the right and upwards from the middle of the brain."""
    middle = np.rint(np.argwhere(head.brain).mean(axis=0)).astype(int)
    t1, t2 = (head.images[modality].astype(float) for modality in ("t1", "t2"))
    white = np.median(t1[head.brain])
    for axis, step in ((0, 1), (0, -1), (2, 1)):
        ray = tuple((middle[along] + step * np.arange(1, 44)) if along == axis else middle[along] for along in range(3))
        ray = tuple(np.clip(place, 0, size - 1) for place, size in zip(ray, SHAPE, strict=True))
        outside = ~head.brain[ray] & (np.cumsum(head.brain[ray][::-1])[::-1] == 0)
        beyond, fluid = t1[ray][outside] / white, t2[ray][outside]
        brightest = int(beyond.argmax())
        assert beyond[brightest] > 1.2  # fat
        assert beyond[:brightest].min() < 0.6  # bone and fluid
        assert beyond[-1] < 0.2  # air
        assert fluid[0] > np.median(t2[head.brain])


def test_the_same_arguments_give_the_same_bytes_and_a_modality_may_come_alone(head: PhantomHead) -> None:
    alone = make_head(7, SHAPE, SPACING, modalities=["t1"])
    assert list(alone.images) == ["t1"]
    assert np.array_equal(alone.images["t1"], head.images["t1"])
