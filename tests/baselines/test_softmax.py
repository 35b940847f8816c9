"""Classes and regions say the same of a voxel, and the losses on classes are those of the papers."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from pkdr_monai.baselines import ClassesToRegions, SoftmaxSegmentationLoss
from pkdr_monai.baselines.softmax import (
    check_convention,
    class_masks,
    regions_to_classes,
    softmax_dice,
    softmax_segmentation_loss,
    supervised_loss,
    weighted_cross_entropy,
)
from pkdr_monai.losses import segmentation_loss
from pkdr_monai.networks import Distiller, PatchVNet, fold_batch_norm

from .conftest import regions, softmax

SHAPES = [(1, 2, 2, 2), (2, 3, 1, 4), (3, 2, 2, 1)]


def protokd_code(logits: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
    """Weighted cross-entropy and Dice as methods.md writes them, one voxel after the other."""
    batch, classes, *sides = logits.shape
    voxels = list(itertools.product(range(batch), *map(range, sides)))
    share = [sum(target[v].item() == c for v in voxels) / len(voxels) for c in range(classes)]
    entropy = weights = 0.0
    overlap, size = [0.0] * classes, [0.0] * classes
    for b, *voxel in voxels:
        p = softmax([logits[(b, c, *voxel)].item() for c in range(classes)])
        y = target[(b, *voxel)].item()
        entropy -= (1 - share[y]) * math.log(p[y])
        weights += 1 - share[y]
        for c in range(classes):
            overlap[c] += p[c] * (c == y)
            size[c] += p[c] ** 2 + (c == y)
    dice = sum(1 - (2 * o + 1e-5) / (s + 1e-5) for o, s in zip(overlap, size, strict=True)) / classes
    return entropy / weights if weights else 0.0, dice


def example(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    batch, *sides = shape
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(batch, 4, *sides, generator=generator, dtype=torch.float64)
    return logits, regions(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_loss_of_the_public_code(shape: tuple[int, ...]) -> None:
    logits, label = example(shape)
    target = regions_to_classes(label)
    entropy, dice = protokd_code(logits, target)
    assert weighted_cross_entropy(logits, target).item() == pytest.approx(entropy, rel=1e-9)
    one_hot = torch.stack([target == c for c in range(4)], 1).double()
    assert softmax_dice(logits, one_hot).item() == pytest.approx(dice, rel=1e-9)
    assert SoftmaxSegmentationLoss()(logits, label).item() == pytest.approx(entropy + dice, rel=1e-9)


def test_each_voxel_has_the_class_of_its_smallest_region() -> None:
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3))).T.reshape(1, 3, 8, 1, 1)  # TC, WT, ET
    assert regions_to_classes(every).flatten().tolist() == [0, 3, 2, 3, 1, 3, 1, 3]


@pytest.mark.parametrize("tumour", [False, True])
def test_a_batch_of_one_class_has_no_cross_entropy_and_a_finite_gradient(tumour: bool) -> None:
    logits = torch.zeros(1, 4, 4, 4, 4, requires_grad=True)
    label = torch.full((1, 3, 4, 4, 4), float(tumour))
    assert weighted_cross_entropy(logits, regions_to_classes(label)) == 0
    softmax_segmentation_loss(logits, label).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


def test_gradients_are_right() -> None:
    logits, label = example((2, 2, 1, 3))
    assert torch.autograd.gradcheck(lambda z: softmax_segmentation_loss(z, label), logits.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_low_precision_is_computed_in_float32(dtype: torch.dtype, scale: float) -> None:
    logits, label = example((2, 4, 4, 4))
    logits = (scale * logits).to(dtype).requires_grad_()
    loss = softmax_segmentation_loss(logits, label)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(softmax_segmentation_loss(logits.detach().double(), label).item(), rel=1e-5)
    assert logits.grad.isfinite().all()


def test_autocast_changes_nothing() -> None:
    logits, label = example((1, 4, 4, 4))
    with torch.autocast("cpu", torch.bfloat16):
        inside = softmax_segmentation_loss(logits.float(), label)
    assert torch.equal(inside, softmax_segmentation_loss(logits.float(), label))


def test_meta_tensors_give_a_plain_loss() -> None:
    logits, label = example((1, 2, 2, 2))
    loss = SoftmaxSegmentationLoss()(MetaTensor(logits), MetaTensor(label))
    assert type(loss) is torch.Tensor
    assert torch.equal(loss, softmax_segmentation_loss(logits, label))


@pytest.mark.parametrize("channels", [(3, 3), (4, 4), (4, 1)])
def test_other_channels_are_refused_with_what_to_do(channels: tuple[int, int]) -> None:
    logits, label = (torch.zeros(1, count, 2, 2, 2) for count in channels)
    with pytest.raises(ValueError, match=r"one channel for each of background, ncr, ed, et.*out_channels: 4"):
        softmax_segmentation_loss(logits, label)


def network() -> ClassesToRegions:
    return ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2))


def test_the_sigmoid_is_the_sum_of_the_class_probabilities() -> None:
    logits = 3 * torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    _, ncr, ed, et = logits.softmax(1).unbind(1)
    expected = torch.stack([ncr + et, ncr + ed + et, et], 1)
    torch.testing.assert_close(ClassesToRegions(nn.Identity())(logits).sigmoid(), expected)


def test_confident_classes_give_back_their_regions() -> None:
    label = regions((2, 3, 2, 2))
    one_hot = torch.stack([regions_to_classes(label) == c for c in range(4)], 1)
    assert torch.equal((ClassesToRegions(nn.Identity())(20.0 * one_hot) > 0).double(), label)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_and_extreme_logits_stay_finite(dtype: torch.dtype) -> None:
    logits = torch.tensor([6e4, -6e4, 0.0, 1.0]).reshape(1, 4, 1, 1, 1).to(dtype)
    output = ClassesToRegions(nn.Identity())(logits)
    assert output.dtype == torch.float32
    assert output.isfinite().all()


def test_deployed_it_has_regions_and_in_training_classes() -> None:
    image = torch.zeros(2, 4, 20, 16, 16)
    distiller = Distiller(network(), channels=[2])
    prediction = distiller(image)
    assert prediction["student"]["logits"].shape == (2, 4, 20, 16, 16)
    assert prediction["student"]["decoder_feature"].shape == (2, 2, 20, 16, 16)
    assert distiller.student(image[:, :1]).shape == (2, 3, 20, 16, 16)


def test_it_can_be_scripted_and_its_batch_norm_folded() -> None:
    plain, image = network().eval(), torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(torch.jit.script(plain)(image), plain(image))
    expected = plain(image)
    torch.testing.assert_close(fold_batch_norm(plain)(image), expected, rtol=1e-4, atol=1e-4)


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
