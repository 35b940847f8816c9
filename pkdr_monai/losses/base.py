"""What the losses share: checks of their arguments, enough precision, and the base of every loss of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.modules.loss import _Loss

__all__ = [
    "DistillationLoss",
    "Prediction",
    "at_least_float32",
    "check_positive",
    "check_same_shape",
    "check_weight",
    "full_precision",
    "missing",
    "plain",
    "predicted",
    "predicted_by_both",
    "predicted_by_student",
]


def plain(tensor: Tensor) -> Tensor:
    """Return the tensor without its subclass, so that a loss does not carry MONAI's metadata through every operation.

    A :class:`monai.data.MetaTensor` costs time in each operation and does not pass through an autograd function.
    Gradients flow on as before.
    """
    return tensor if type(tensor) is Tensor else tensor.as_subclass(Tensor)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or as it is where it holds more (float64, for gradient checks).

    Example:
        >>> at_least_float32(torch.ones(1, dtype=torch.bfloat16)).dtype, at_least_float32(torch.ones(1).double()).dtype
        (torch.float32, torch.float64)
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """Return a context in which autocast leaves the products of such tensors in their own dtype."""
    device = tensor.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


def check_same_shape(loss: str, remedy: str, **tensors: Tensor) -> None:
    """Refuse two tensors whose shapes differ: broadcasting would hide the mistake.

    Args:
        loss: name of the loss, for the message.
        remedy: what to do about it, for the message.
        tensors: the two tensors under the names that the caller knows them by.

    Raises:
        ValueError: when the shapes differ.
    """
    (first, expected), (second, came) = tensors.items()
    if expected.shape != came.shape:
        raise ValueError(
            f"{loss} expects {first} and {second} of one shape, but {first} is {tuple(expected.shape)} "
            f"and {second} is {tuple(came.shape)}. {remedy}"
        )


def check_positive(loss: str, **value: float) -> None:
    """Refuse a setting that is not a finite number above zero.

    Raises:
        ValueError: when it is not.
    """
    ((name, number),) = value.items()
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{loss} expects {name} to be a finite number above 0, but it is {number!r}.")


Prediction = Mapping[str, Mapping[str, Tensor]]

REMEDY = {
    "student": "Let the student's features() offer it, or give the student a head of that name",
    "teacher": "Train beside a teacher and name it in the Distiller's teacher_outputs, or give the teacher a head of "
    "that name",
}


def missing(
    loss: str, prediction: Prediction, network: str, output: str, remedy: str, term: str | None = None
) -> ValueError:
    """Return the error of a prediction that lacks a tensor.

    Args:
        loss: name of the loss.
        prediction: what came.
        network: ``"student"`` or ``"teacher"``.
        output: name of the tensor.
        remedy: sentence that says what to do.
        term: name of the term that needs it, where the loss has several.
    """
    came = [f"{name}/{key}" for name, outputs in prediction.items() for key in outputs]
    needed = f"{loss} needs prediction[{network!r}][{output!r}]" + (f" for its term {term!r}" if term else "")
    return ValueError(f"{needed}, but the prediction has only {', '.join(came) or 'nothing'}. {remedy}")


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
        raise missing(loss, prediction, network, output, f"{REMEDY[network]}, or set the weight of its term to 0.")
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


class DistillationLoss(_Loss):
    """The base of every loss of a training: terms by name, of which the last values stay in :attr:`parts`.

    Args:
        weights: the weight of each term that :meth:`weighted_sum` adds.

    Attributes:
        weights: as given; a term of weight 0 is not computed.
        parts: after a call, the value of each term computed, before its weight: scalars without gradient, by name.
        described: names of the other settings that its repr states.

    Example:
        >>> class Sum(DistillationLoss):
        ...     def forward(self, prediction, label):
        ...         return self.weighted_sum({"a": lambda: torch.ones(()), "b": lambda: 1 / 0})
        >>> loss = Sum({"a": 2.0, "b": 0.0})
        >>> loss, loss({}, None), loss.parts
        (Sum(a: 2.0, b: 0.0), tensor(2.), {'a': tensor(1.)})
    """

    described: ClassVar[tuple[str, ...]] = ()

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.weights = dict(weights or {})
        self.parts: dict[str, Tensor] = {}

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        weights = [f"{name}: {weight}" for name, weight in self.weights.items()]
        return ", ".join([*weights, *(f"{name}={getattr(self, name)!r}" for name in self.described)])

    def weighted_sum(self, compute: Mapping[str, Callable[[], Tensor]]) -> Tensor:
        """Compute each term whose weight is not 0, keep their values, and return their weighted sum."""
        terms = {name: compute[name]() for name, weight in self.weights.items() if weight}
        self.keep(terms)
        return torch.stack([self.weights[name] * value for name, value in terms.items()]).sum()

    def keep(self, terms: Mapping[str, Tensor]) -> None:
        """Keep the values of the terms as :attr:`parts`."""
        self.parts = {name: value.detach() for name, value in terms.items()}


def check_weight(loss: str, largest: float = math.inf, **value: float) -> None:
    """Refuse a weight that is negative, not finite or above ``largest``.

    Raises:
        ValueError: when it is.
    """
    ((name, weight),) = value.items()
    if not (math.isfinite(weight) and 0 <= weight <= largest):
        upper = "or more" if math.isinf(largest) else f"to {largest:g}"
        raise ValueError(f"{loss} expects {name} to be a finite number, 0 {upper}, but it is {weight!r}.")
