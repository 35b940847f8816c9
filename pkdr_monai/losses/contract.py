"""What every loss of a training here shares in keeping the contract of :mod:`pkdr_monai.losses`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from pkdr_monai.losses.inputs import plain

__all__ = ["Prediction", "check_weight", "predicted", "predicted_by_both", "predicted_by_student", "weighted_sum"]

Prediction = Mapping[str, Mapping[str, Tensor]]

REMEDY = {
    "student": "Let the student's features() offer it, or give the student a head of that name",
    "teacher": "Train beside a teacher and name it in the Distiller's teacher_outputs, or give the teacher a head of "
    "that name",
}


def predicted(loss: str, prediction: Prediction, network: str, output: str) -> Tensor:
    """Return one tensor of a prediction, without MONAI's metadata.

    Args:
        loss: name of the loss, for the message.
        prediction: what the Distiller returns.
        network: ``"student"`` or ``"teacher"``.
        output: name of the tensor.

    Raises:
        ValueError: when it is missing, or a sample lacks a modality, of which the loss knows nothing.

    Example:
        >>> predicted("KDNetLoss", {"student": {"logits": torch.zeros(1)}}, "teacher", "logits")
        Traceback (most recent call last):
        ...
        ValueError: KDNetLoss needs prediction['teacher']['logits'], but the prediction has only student/logits. Train \
beside a teacher and name it in the Distiller's teacher_outputs, or give the teacher a head of that name, or set the \
weight of its term to 0.
    """
    tensor = prediction.get(network, {}).get(output)
    if tensor is None:
        came = [f"{name}/{key}" for name, outputs in prediction.items() for key in outputs]
        raise ValueError(
            f"{loss} needs prediction[{network!r}][{output!r}], but the prediction has only "
            f"{', '.join(came) or 'nothing'}. {REMEDY[network]}, or set the weight of its term to 0."
        )
    complete = prediction[network].get("complete")
    if complete is not None and not complete.all():
        raise ValueError(
            f"{loss} would learn from a teacher that lacks a modality: train on complete cases alone (incomplete: "
            "false), or with PKDRLoss, which leaves such samples out."
        )
    return plain(tensor)


def predicted_by_both(loss: str, prediction: Prediction, output: str) -> tuple[Tensor, Tensor]:
    """Return the student's and the teacher's tensor of one name; see :func:`predicted`."""
    return predicted(loss, prediction, "student", output), predicted(loss, prediction, "teacher", output)


def predicted_by_student(loss: str, prediction: Prediction, outputs: Sequence[str]) -> tuple[Tensor, ...]:
    """Return several of the student's tensors in the order wanted; see :func:`predicted`."""
    return tuple(predicted(loss, prediction, "student", output) for output in outputs)


def weighted_sum(
    weights: Mapping[str, float], compute: Mapping[str, Callable[[], Tensor]]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute each term whose weight is not 0; return their weighted sum and their values by name, without gradient.

    Example:
        >>> total, parts = weighted_sum({"a": 2.0, "b": 0.0}, {"a": lambda: torch.ones(()), "b": lambda: 1 / 0})
        >>> total, parts
        (tensor(2.), {'a': tensor(1.)})
    """
    terms = {name: compute[name]() for name, weight in weights.items() if weight}
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    return total, {name: value.detach() for name, value in terms.items()}


def check_weight(loss: str, largest: float = math.inf, **value: float) -> None:
    """Refuse a weight that is negative, not finite or above ``largest``.

    Raises:
        ValueError: when it is.
    """
    ((name, weight),) = value.items()
    if not (math.isfinite(weight) and 0 <= weight <= largest):
        upper = "or more" if math.isinf(largest) else f"to {largest:g}"
        raise ValueError(f"{loss} expects {name} to be a finite number, 0 {upper}, but it is {weight!r}.")
