from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses.base import (
    DistillationLoss,
    at_least_float32,
    check_positive,
    check_same_shape,
    check_weight,
    full_precision,
    plain,
    predicted,
    predicted_by_both,
)


def test_a_tensor_comes_back_without_metadata() -> None:
    tensor = torch.ones(2)
    prediction = {"student": {"logits": MetaTensor(tensor)}, "teacher": {"logits": tensor}}
    student, teacher = predicted_by_both("Loss", prediction, "logits")
    assert type(student) is torch.Tensor
    assert torch.equal(student, tensor)
    assert teacher is tensor


@pytest.mark.parametrize(
    ("network", "remedy"), [("student", r"the student's features\(\)"), ("teacher", "the Distiller's teacher_outputs")]
)
def test_a_missing_tensor_is_named_with_what_came_and_what_to_do(network: str, remedy: str) -> None:
    prediction = {"student": {"logits": torch.ones(1)}, "teacher": {"logits": torch.ones(1)}}
    message = rf"MyLoss needs prediction\['{network}'\]\['embedding'\].*student/logits, teacher/logits\. .*{remedy}"
    with pytest.raises(ValueError, match=message):
        predicted("MyLoss", prediction, network, "embedding")


def test_a_loss_that_knows_no_incomplete_samples_refuses_them() -> None:
    teacher = {"logits": torch.ones(2), "complete": torch.tensor([True, True])}
    assert predicted("MyLoss", {"teacher": teacher}, "teacher", "logits") is teacher["logits"]
    teacher["complete"] = torch.tensor([True, False])
    with pytest.raises(ValueError, match=r"MyLoss would learn from a teacher that lacks a modality: .*PKDRLoss"):
        predicted("MyLoss", {"teacher": teacher}, "teacher", "logits")


def test_an_empty_prediction_is_called_nothing() -> None:
    with pytest.raises(ValueError, match=r"has only nothing\. .*set the weight of its term to 0\."):
        predicted("MyLoss", {}, "teacher", "logits")


def test_the_sum_is_weighted_and_the_parts_are_not() -> None:
    leaf = torch.tensor(3.0, requires_grad=True)
    loss = DistillationLoss({"one": 0.5, "two": 2.0})
    total = loss.weighted_sum({"one": lambda: leaf, "two": lambda: leaf**2})
    total.backward()
    assert total.item() == 0.5 * 3 + 2 * 9
    assert leaf.grad.item() == 0.5 + 2 * 6
    assert {name: value.item() for name, value in loss.parts.items()} == {"one": 3, "two": 9}
    assert not any(value.requires_grad for value in loss.parts.values())


def test_a_term_without_weight_is_not_computed() -> None:
    loss = DistillationLoss({"one": 1.0, "two": 0.0})
    assert loss.weighted_sum({"one": lambda: torch.ones(()), "two": pytest.fail}) == 1
    assert list(loss.parts) == ["one"]


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_is_negative_or_not_finite_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=r"MyLoss expects alpha to be a finite number, 0 or more, but it is"):
        check_weight("MyLoss", alpha=weight)


def test_a_weight_above_its_limit_is_refused() -> None:
    check_weight("MyLoss", 1.0, share=1.0)
    with pytest.raises(ValueError, match=r"MyLoss expects share to be a finite number, 0 to 1, but it is 1\.5"):
        check_weight("MyLoss", 1.0, share=1.5)


def test_a_plain_tensor_passes_untouched() -> None:
    tensor = torch.ones(3)
    assert plain(tensor) is tensor


def test_a_meta_tensor_loses_its_class_and_keeps_its_gradient() -> None:
    leaf = torch.ones(3, requires_grad=True)
    converted = plain(MetaTensor(leaf * 2))
    assert type(converted) is torch.Tensor
    converted.sum().backward()
    assert torch.equal(leaf.grad, torch.full((3,), 2.0))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision_rises_to_float32_and_never_falls(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert at_least_float32(torch.ones(1, dtype=dtype)).dtype == expected


def test_full_precision_keeps_autocast_away() -> None:
    ones = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16), full_precision(ones):
        assert (ones @ ones).dtype == torch.float32


def test_full_precision_does_nothing_where_autocast_is_unknown() -> None:
    with full_precision(torch.ones(1, device="meta")):
        assert torch.ones(1).item() == 1


def test_shapes_that_differ_are_refused_with_both_shapes_and_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"MyLoss expects a and b of one shape.*\(2, 3\).*\(2, 1\)\. Repair it\."):
        check_same_shape("MyLoss", "Repair it.", a=torch.ones(2, 3), b=torch.ones(2, 1))


@pytest.mark.parametrize("number", [0.0, -1.0, float("nan"), float("inf")])
def test_a_number_that_is_not_positive_and_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="MyLoss expects temperature to be a finite number above 0"):
        check_positive("MyLoss", temperature=number)
