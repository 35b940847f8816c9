from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses.contract import check_weight, predicted, predicted_by_both, weighted_sum


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
    total, parts = weighted_sum({"one": 0.5, "two": 2.0}, {"one": lambda: leaf, "two": lambda: leaf**2})
    total.backward()
    assert total.item() == 0.5 * 3 + 2 * 9
    assert leaf.grad.item() == 0.5 + 2 * 6
    assert {name: value.item() for name, value in parts.items()} == {"one": 3, "two": 9}
    assert not any(value.requires_grad for value in parts.values())


def test_a_term_without_weight_is_not_computed() -> None:
    total, parts = weighted_sum({"one": 1.0, "two": 0.0}, {"one": lambda: torch.ones(()), "two": pytest.fail})
    assert total == 1
    assert list(parts) == ["one"]


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_a_weight_that_is_negative_or_not_finite_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=r"MyLoss expects alpha to be a finite number, 0 or more, but it is"):
        check_weight("MyLoss", alpha=weight)


def test_a_weight_above_its_limit_is_refused() -> None:
    check_weight("MyLoss", 1.0, share=1.0)
    with pytest.raises(ValueError, match=r"MyLoss expects share to be a finite number, 0 to 1, but it is 1\.5"):
        check_weight("MyLoss", 1.0, share=1.5)
