from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor
from monai.losses import DiceLoss

from pkdr_monai.losses import SegmentationLoss, cross_entropy, dice_loss, segmentation_loss

SHAPES = [(1, 3, 2, 2, 2), (2, 3, 4, 3, 2), (3, 1, 2, 1, 5)]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def equation_8(logits: torch.Tensor, label: torch.Tensor, dice: str) -> float:
    """The paper's sum, one voxel after the other."""
    batch, classes, *sides = logits.shape
    total = 0.0
    for c in range(classes):
        entropy = overlap = squares = 0.0
        for position in itertools.product(range(batch), *map(range, sides)):
            b, *voxel = position
            z, y = logits[(b, c, *voxel)].item(), label[(b, c, *voxel)].item()
            p = sigmoid(z)
            entropy -= y * math.log(p) + (1 - y) * math.log(1 - p)
            if dice != "soft":
                p = float(p > 0.5)
            overlap += p * y
            squares += p * p + y * y
        total += entropy / (batch * math.prod(sides))
        total += 1 - (2 * overlap + 1e-5) / (squares + 1e-5)
    return total


def example(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return logits, (torch.rand(shape, generator=generator) < 0.4).double()


@pytest.mark.parametrize("dice", ["soft", "hard", "straight_through"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_equation_8(shape: tuple[int, ...], dice: str) -> None:
    logits, label = example(shape)
    assert SegmentationLoss(dice)(logits, label).item() == pytest.approx(equation_8(logits, label, dice), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_dice_is_that_of_monai(shape: tuple[int, ...]) -> None:
    logits, label = example(shape)
    monai = DiceLoss(
        sigmoid=True,
        squared_pred=True,
        batch=True,
        smooth_nr=1e-5,
        smooth_dr=1e-5,
        reduction="sum",
        include_background=True,
    )
    torch.testing.assert_close(dice_loss(logits, label), monai(logits, label))


def test_a_large_crop_is_summed_without_loss_of_precision() -> None:
    logits, label = (tensor.float() for tensor in example((1, 1, 128, 128, 128)))
    exact = dice_loss(logits.double(), label.double())
    assert dice_loss(logits, label).item() == pytest.approx(exact.item(), rel=1e-6)


def test_the_regions_add_up() -> None:
    logits, label = example((2, 3, 4, 4, 4))
    one_by_one = sum(segmentation_loss(logits[:, [c]], label[:, [c]]) for c in range(3))
    torch.testing.assert_close(segmentation_loss(logits, label), one_by_one)


@pytest.mark.parametrize("dice", ["soft", "hard"])
def test_a_confident_empty_prediction_of_an_empty_label_costs_nothing(dice: str) -> None:
    empty = torch.zeros(1, 3, 4, 4, 4)
    assert SegmentationLoss(dice)(empty - 40, empty).item() == pytest.approx(0, abs=1e-6)


def test_an_empty_label_has_a_finite_gradient() -> None:
    logits = torch.zeros(1, 3, 4, 4, 4, requires_grad=True)
    segmentation_loss(logits, torch.zeros_like(logits)).backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad > 0).all()


def test_hard_dice_has_no_gradient_so_only_the_cross_entropy_trains() -> None:
    logits, label = example((1, 3, 4, 4, 4))
    with_dice, without = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    assert not dice_loss(with_dice, label, "hard").requires_grad
    segmentation_loss(with_dice, label, "hard").backward()
    cross_entropy(without, label).backward()
    assert torch.equal(with_dice.grad, without.grad)


def test_straight_through_dice_has_the_gradient_of_dice_at_the_binary_prediction() -> None:
    logits, label = example((1, 1, 4, 4, 4))
    logits.requires_grad_()
    dice_loss(logits, label, "straight_through").backward()
    probability, hard = torch.sigmoid(logits.detach()), (logits.detach() > 0).double()
    numerator, denominator = 2 * (hard * label).sum() + 1e-5, hard.sum() + label.sum() + 1e-5
    by_prediction = -(2 * label * denominator - numerator * 2 * hard) / denominator**2
    torch.testing.assert_close(logits.grad, by_prediction * probability * (1 - probability))


def test_gradients_are_right() -> None:
    logits, label = example((2, 3, 2, 3, 2))
    assert torch.autograd.gradcheck(lambda z: segmentation_loss(z, label), logits.requires_grad_())


def test_the_label_gets_no_gradient() -> None:
    logits, label = example((1, 3, 2, 2, 2))
    label.requires_grad_()
    segmentation_loss(logits.requires_grad_(), label).backward()
    assert label.grad is None


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16])
def test_a_label_of_any_dtype_counts_the_same(dtype: torch.dtype) -> None:
    logits, label = example((1, 3, 4, 4, 4))
    assert torch.equal(segmentation_loss(logits, label.to(dtype)), segmentation_loss(logits, label))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, label = torch.zeros(1, 3, 64, 64, 64, dtype=dtype), torch.ones(1, 3, 64, 64, 64)  # sums beyond float16's
    loss = segmentation_loss(logits.requires_grad_(), label)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(3 * (math.log(2) + 1 - 1 / 1.25), rel=1e-5)
    loss.backward()
    assert logits.grad.isfinite().all()


def test_autocast_changes_nothing() -> None:
    logits, label = (tensor.float() for tensor in example((1, 3, 4, 4, 4)))
    with torch.autocast("cpu", torch.bfloat16):
        inside = segmentation_loss(logits, label)
    assert torch.equal(inside, segmentation_loss(logits, label))


@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("dice", ["soft", "hard", "straight_through"])
def test_extreme_logits_stay_finite(size: float, dice: str) -> None:
    logits = torch.full((1, 3, 4, 4, 4), size, requires_grad=True)
    loss = SegmentationLoss(dice)(logits, torch.ones_like(logits))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_meta_tensors_give_a_plain_loss() -> None:
    logits, label = example((1, 3, 4, 4, 4))
    loss = SegmentationLoss()(MetaTensor(logits), MetaTensor(label))
    assert type(loss) is torch.Tensor
    assert torch.equal(loss, segmentation_loss(logits, label))


def test_an_unknown_dice_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"SegmentationLoss expects dice to be one of soft, hard, straight_through.*'sfot'"
    ):
        SegmentationLoss("sfot")


def test_a_label_that_would_broadcast_is_refused() -> None:
    with pytest.raises(ValueError, match=r"logits is \(1, 3, 4, 4, 4\) and label is \(1, 1, 4, 4, 4\)"):
        SegmentationLoss()(torch.zeros(1, 3, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4))
