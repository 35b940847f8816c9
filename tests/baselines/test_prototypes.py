from __future__ import annotations

import itertools
import math

import pytest
import torch

from pkdr_monai.baselines.protokd import check_missing_class, prototype_loss, prototype_similarity
from pkdr_monai.baselines.softmax import class_masks

from ..losses.conftest import Watch
from .conftest import regions

SHAPES = [(1, 2, 2, 2), (2, 3, 1, 4), (3, 2, 2, 1)]


def cosine(a: list[float], b: list[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def similarity_by_hand(feature: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """The map of one class in one sample, ``feature`` ``(D, X, Y, Z)``, one voxel after the other."""
    voxels, inside = feature.flatten(1).T.tolist(), mask.flatten().tolist()
    members = [voxel for voxel, is_inside in zip(voxels, inside, strict=True) if is_inside]
    prototype = [sum(column) / (len(members) + 1e-5) for column in zip(*members, strict=True)]
    return [cosine(voxel, prototype) for voxel in voxels]


def loss_by_hand(student: torch.Tensor, teacher: torch.Tensor, masks: torch.Tensor, missing_class: str) -> float:
    """Each class of each sample that has it, one after the other."""
    batch, classes = masks.shape[:2]
    values = []
    for b, c in itertools.product(range(batch), range(classes)):
        others = range(batch) if missing_class == "batch" else [b]
        if all(masks[other, c].any() for other in others):
            pair = (similarity_by_hand(feature[b], masks[b, c]) for feature in (student, teacher))
            squares = [(one - other) ** 2 for one, other in zip(*pair, strict=True)]
            values.append(sum(squares) / len(squares))
    return sum(values) / len(values) if values else 0.0


def example(shape: tuple[int, ...], convention: str = "regions") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch, *sides = shape
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(batch, 5, *sides, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.requires_grad_(), teacher, class_masks(regions(shape), convention)


@pytest.mark.parametrize("convention", ["regions", "softmax"])
@pytest.mark.parametrize("missing_class", ["sample", "batch"])
@pytest.mark.parametrize("absent", [None, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_mean_over_classes_and_voxels(
    shape: tuple[int, ...], absent: int | None, missing_class: str, convention: str
) -> None:
    student, teacher, masks = example(shape, convention)
    if absent is not None:
        masks[-1, absent] = False  # in the last sample
    expected = loss_by_hand(student.detach(), teacher, masks, missing_class)
    assert prototype_loss(student, teacher, masks, missing_class).item() == pytest.approx(expected, rel=1e-9)


def test_a_map_is_the_cosine_with_the_mean_of_the_class() -> None:
    student, _, masks = example((2, 2, 3, 2))
    maps = prototype_similarity(student.detach(), masks)
    for b, c in itertools.product(range(2), range(6)):
        assert maps[b, c].flatten().tolist() == pytest.approx(similarity_by_hand(student[b], masks[b, c]))


def test_the_batch_rule_drops_a_class_that_one_sample_lacks_and_the_sample_rule_does_not() -> None:
    student, teacher, masks = example((2, 3, 3, 3))
    masks[1, 2] = False
    rest = [c for c in range(6) if c != 2]
    by_batch = prototype_loss(student, teacher, masks, "batch")
    torch.testing.assert_close(by_batch, prototype_loss(student, teacher, masks[:, rest], "batch"))
    assert not torch.isclose(by_batch, prototype_loss(student, teacher, masks, "sample"))


@pytest.mark.parametrize("missing_class", ["sample", "batch"])
def test_without_any_class_it_is_exactly_zero(missing_class: str) -> None:
    student, teacher, masks = example((2, 2, 2, 2))
    loss = prototype_loss(student, teacher, torch.zeros_like(masks), missing_class)
    loss.backward()
    assert loss == 0
    assert not student.grad.any()


def test_equal_features_cost_nothing() -> None:
    student, _, masks = example((2, 2, 2, 2))
    assert prototype_loss(student, student.detach(), masks).item() == pytest.approx(0, abs=1e-15)


def test_networks_of_other_widths_compare_by_similarity() -> None:
    student, teacher, masks = example((2, 2, 2, 2))
    expected = loss_by_hand(student.detach()[:, :2], teacher, masks, "sample")
    assert prototype_loss(student[:, :2], teacher, masks).item() == pytest.approx(expected)


def test_gradients_are_right_through_the_prototypes_too() -> None:
    student, teacher, masks = example((2, 2, 1, 3))
    masks[1, 0] = False
    assert torch.autograd.gradcheck(lambda feature: prototype_loss(feature, teacher, masks), student)


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher, masks = example((1, 2, 2, 2))
    prototype_loss(student, teacher.requires_grad_(), masks).backward()
    assert teacher.grad is None
    assert student.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_low_precision_stays_finite_with_dead_features_too(dtype: torch.dtype, scale: float) -> None:
    student, teacher, masks = example((2, 4, 4, 4))
    feature = (scale * student.detach().relu()).to(dtype)
    feature[:, :, :2] = 0  # what a ReLU leaves of voxels that nothing excites
    feature.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = prototype_loss(feature, teacher.to(dtype), masks)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert feature.grad.isfinite().all()


def test_autocast_changes_nothing() -> None:
    student, teacher, masks = example((2, 4, 4, 4))
    student, teacher = student.detach().float(), teacher.float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = prototype_loss(student, teacher, masks)
    assert torch.equal(inside, prototype_loss(student, teacher, masks))


def test_nothing_is_made_that_is_larger_than_the_feature() -> None:
    student, teacher = (torch.randn(2, 16, 8, 8, 8, requires_grad=True) for _ in range(2))
    masks = class_masks(regions((2, 8, 8, 8)), "regions")
    watch = Watch()
    with watch:
        prototype_loss(student, teacher, masks).backward()
    assert watch.largest <= student.numel()


def test_features_of_another_size_are_refused() -> None:
    student, teacher, masks = example((2, 2, 2, 2))
    with pytest.raises(ValueError, match=r"one batch and one size.*such as decoder_feature"):
        prototype_loss(student[..., :1], teacher, masks)


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="MyLoss expects missing_class to be 'sample' or 'batch', but it is 'voxel'"):
        check_missing_class("MyLoss", "voxel")
