"""What every loss here asks of its arguments: plain tensors, equal shapes, enough precision."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

__all__ = ["at_least_float32", "check_positive", "check_same_shape", "full_precision", "plain"]


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
