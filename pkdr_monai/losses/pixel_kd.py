"""Eq. 5: learn from the teacher's probability in every voxel, not from the label alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.inputs import check_positive, check_same_shape, plain

__all__ = ["PixelKDLoss", "sigmoid_distillation"]

CPU_CHUNK = 2**17  # elements at a time: they stay in the cache
GPU_CHUNK = 2**22  # elements at a time: they fill the device


class PixelKDLoss(_Loss):
    r"""Pull the student's probability in every voxel towards the teacher's.

    Both logits are divided by a temperature, which softens the probabilities, and compared by binary cross-entropy for
    each region :math:`c` on its own, because regions contain each other (Eq. 5):

    .. math::
        L_{kd} = \sum_c \frac{1}{N} \sum_n \mathrm{BCE}(\sigma(z^s_{cn} / T), \sigma(z^t_{cn} / T))

    The mean runs over batch and voxels, the sum over regions. No gradient reaches the teacher. The smallest value is
    the entropy of the teacher's probabilities, not zero. The paper does not multiply by :math:`T^2`, so the gradient
    falls with :math:`T^2`; ``t_square`` puts the factor back.

    Args:
        temperature: T, above 0.
        t_square: multiply the loss by the squared temperature, as Hinton's distillation does.

    Raises:
        ValueError: when the temperature is not a finite number above 0.

    Example:
        >>> teacher = torch.tensor([4.0, -4.0]).reshape(1, 2, 1, 1, 1)
        >>> loss = PixelKDLoss(temperature=2.0)
        >>> f"same {loss(teacher, teacher):.3f}, opposite {loss(-teacher, teacher):.3f}"
        'same 0.731, opposite 3.777'
    """

    def __init__(self, temperature: float = 10.0, t_square: bool = False) -> None:
        super().__init__()
        check_positive("PixelKDLoss", temperature=temperature)
        self.temperature = temperature
        self.t_square = t_square

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        return f"temperature={self.temperature}, t_square={self.t_square}"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            student: logits of the student, ``(B, C, X, Y, Z)``.
            teacher: logits of the teacher, ``(B, C, X, Y, Z)``; the floating dtypes may differ.

        Raises:
            ValueError: when the shapes differ.
        """
        check_same_shape("PixelKDLoss", "Both networks have to see the same crop.", student=student, teacher=teacher)
        return sigmoid_distillation(student, teacher, self.temperature, self.t_square)


def sigmoid_distillation(student: Tensor, teacher: Tensor, temperature: float, t_square: bool = False) -> Tensor:
    """Binary cross-entropy between two softened sigmoids: the mean over batch and positions, summed over the classes.

    It needs no memory beyond the gradient itself, because it walks both tensors in pieces, in float32, and computes the
    gradient from the logits instead of keeping probabilities.

    Args:
        student: logits, ``(B, C, ...)``.
        teacher: logits of the same shape, taken as constants.
        temperature: T, by which both are divided.
        t_square: multiply the result by the squared temperature.
    """
    student, teacher = plain(student), plain(teacher).detach()
    positions = student.numel() // student.shape[1]
    scale = (temperature**2 if t_square else 1.0) / positions
    loss: Tensor = _SoftenedCrossEntropy.apply(student, teacher, temperature)
    return loss * scale


class _SoftenedCrossEntropy(torch.autograd.Function):
    """Sum of BCE(sigmoid(student / T), sigmoid(teacher / T)); its gradient is the difference of both sigmoids / T."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward(student, teacher)
        ctx.temperature = temperature
        dtype = torch.promote_types(student.dtype, torch.float32)
        total = torch.zeros((), dtype=dtype, device=student.device)
        order = _memory_order(student)
        for student_part, teacher_part in zip(_parts(student, order), _parts(teacher, order), strict=True):
            logits = student_part.to(dtype) / temperature
            target = (teacher_part.to(dtype) / temperature).sigmoid_()
            total += F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        student, teacher = ctx.saved_tensors
        scale = grad_output / ctx.temperature
        order = _memory_order(student)
        gradient = torch.empty([student.shape[dim] for dim in order], dtype=student.dtype, device=student.device)
        parts = _parts(student, order), _parts(teacher, order), gradient.view(-1).split(_chunk(student))
        for student_part, teacher_part, gradient_part in zip(*parts, strict=True):
            probability = (student_part.to(scale.dtype) / ctx.temperature).sigmoid_()
            target = (teacher_part.to(scale.dtype) / ctx.temperature).sigmoid_()
            gradient_part.copy_(probability.sub_(target).mul_(scale))
        return gradient.permute([order.index(dim) for dim in range(student.ndim)]), None, None


def _memory_order(tensor: Tensor) -> list[int]:
    """Dimensions from the slowest to the fastest in memory: channels-last tensors are walked as they lie."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)


def _parts(tensor: Tensor, order: list[int]) -> tuple[Tensor, ...]:
    """Cut a tensor, walked in the given order of dimensions, into flat pieces; a copy only where it lies otherwise."""
    return tensor.permute(order).reshape(-1).split(_chunk(tensor))


def _chunk(tensor: Tensor) -> int:
    return CPU_CHUNK if tensor.device.type == "cpu" else GPU_CHUNK
