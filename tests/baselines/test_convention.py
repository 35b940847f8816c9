from __future__ import annotations

import pytest
import torch

from pkdr_monai.baselines.softmax import (
    check_convention,
    class_masks,
    regions_to_classes,
    softmax_segmentation_loss,
    supervised_loss,
)
from pkdr_monai.losses import segmentation_loss

from .conftest import regions


def test_regions_are_learnt_by_equation_8_and_classes_by_their_own_loss() -> None:
    label, logits = regions((2, 2, 3, 2)), torch.linspace(-3, 3, 96).reshape(2, 4, 2, 3, 2)
    assert torch.equal(supervised_loss(logits[:, :3], label, "regions"), segmentation_loss(logits[:, :3], label))
    assert torch.equal(supervised_loss(logits, label, "softmax"), softmax_segmentation_loss(logits, label))


def test_the_masks_of_regions_are_each_region_and_each_complement() -> None:
    label = regions((2, 3, 2, 2))
    assert torch.equal(class_masks(label, "regions").double(), torch.cat([label, 1 - label], 1))


def test_the_masks_of_classes_hold_each_voxel_once() -> None:
    label = regions((2, 3, 2, 2))
    masks = class_masks(label, "softmax")
    assert masks.shape == (2, 4, 3, 2, 2)
    assert masks.dtype == torch.bool
    assert (masks.sum(1) == 1).all()
    assert torch.equal(masks.int().argmax(1), regions_to_classes(label))


def test_an_unknown_convention_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="MyLoss expects convention to be 'regions' or 'softmax', but it is 'sigmoid'"):
        check_convention("MyLoss", "sigmoid")
