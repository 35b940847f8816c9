"""Eq. 5: learn from the teacher's probability in every voxel, not from the label alone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import check_positive, check_same_shape, check_weight, plain

__all__ = ["PixelKDLoss", "sigmoid_distillation", "voxel_weights"]

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

    Most voxels are healthy ones that both networks have right. ``tumour`` and ``border`` replace the mean over the
    voxels of each region by a weighted one, with the weights
    :math:`w_{cn} = 1 + tumour \, [n \in WT] + border \, [n \in \partial c]`:

    .. math::
        L_{kd} = \sum_c \frac{\sum_n w_{cn} \, \mathrm{BCE}_{cn}}{\sum_n w_{cn}}

    :math:`\partial c` are the voxels that have both inside and outside of region c within ``border_width`` voxels along
    the axes and diagonals. The paper weights nothing; this is an option of ours.

    Args:
        temperature: T, above 0.
        t_square: multiply the loss by the squared temperature, as Hinton's distillation does.
        tumour: additional weight of voxels inside any region, 0 or more.
        border: additional weight of voxels at a region's border, 0 or more.
        border_width: how far from the border a voxel may be, in voxels, 1 or more.

    Raises:
        ValueError: when the temperature is not a finite number above 0, or a weight or width is not as said.

    Example:
        >>> teacher = torch.tensor([4.0, -4.0]).reshape(1, 2, 1, 1, 1)
        >>> loss = PixelKDLoss(temperature=2.0)
        >>> f"same {loss(teacher, teacher):.3f}, opposite {loss(-teacher, teacher):.3f}"
        'same 0.731, opposite 3.777'
    """

    def __init__(
        self,
        temperature: float = 10.0,
        t_square: bool = False,
        *,
        tumour: float = 0.0,
        border: float = 0.0,
        border_width: int = 1,
    ) -> None:
        super().__init__()
        check_positive("PixelKDLoss", temperature=temperature)
        check_weight("PixelKDLoss", tumour=tumour)
        check_weight("PixelKDLoss", border=border)
        if not isinstance(border_width, int) or border_width < 1:
            raise ValueError(f"PixelKDLoss expects border_width to be a whole number above 0, not {border_width!r}.")
        self.temperature = temperature
        self.t_square = t_square
        self.tumour, self.border, self.border_width = tumour, border, border_width

    @property
    def weighted(self) -> bool:
        """Whether voxels weigh unequally, so that the loss needs the label."""
        return self.tumour > 0 or self.border > 0

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        weights = f", tumour={self.tumour}, border={self.border}, border_width={self.border_width}"
        return f"temperature={self.temperature}, t_square={self.t_square}" + (weights if self.weighted else "")

    def forward(self, student: Tensor, teacher: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            student: logits of the student, ``(B, C, X, Y, Z)``.
            teacher: logits of the teacher, ``(B, C, X, Y, Z)``; the floating dtypes may differ.
            label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``; read where voxels weigh unequally alone.

        Raises:
            ValueError: when the shapes differ, or the label is missing that the weights need.
        """
        check_same_shape("PixelKDLoss", "Both networks have to see the same crop.", student=student, teacher=teacher)
        if not self.weighted:
            return sigmoid_distillation(student, teacher, self.temperature, self.t_square)
        if label is None:
            raise ValueError(
                "PixelKDLoss needs the label where tumour or border weigh more: give it as third argument."
            )
        check_same_shape("PixelKDLoss", "The label needs one channel for each region.", student=student, label=label)
        weight = voxel_weights(label, self.tumour, self.border, self.border_width)
        return sigmoid_distillation(student, teacher, self.temperature, self.t_square, weight)


def voxel_weights(label: Tensor, tumour: float, border: float, border_width: int = 1) -> Tensor:
    """Return the weight of each voxel for each region: 1, and more inside the tumour and at the region's border.

    Args:
        label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``.
        tumour: added inside any region.
        border: added where inside and outside of the region both lie within ``border_width`` voxels.
        border_width: in voxels.

    Returns:
        Weights, ``(B, C, X, Y, Z)``, float32.

    Example:
        >>> label = torch.tensor([0.0, 0, 0, 1, 1, 1]).reshape(1, 1, 6, 1, 1)
        >>> voxel_weights(label, tumour=2.0, border=10.0).flatten().tolist()
        [1.0, 1.0, 11.0, 13.0, 3.0, 3.0]
    """
    label = plain(label).detach().to(torch.float32)
    weight = 1 + tumour * label.amax(1, keepdim=True).expand_as(label)
    if border:
        side = 2 * border_width + 1
        inside, outside = (F.max_pool3d(part, side, stride=1, padding=border_width) for part in (label, 1 - label))
        weight = weight + border * inside * outside
    return weight


def sigmoid_distillation(
    student: Tensor, teacher: Tensor, temperature: float, t_square: bool = False, weight: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy between two softened sigmoids: the mean over batch and positions, summed over the classes.

    It needs no memory beyond the gradient itself, because it walks both tensors in pieces, in float32, and computes the
    gradient from the logits instead of keeping probabilities.

    Args:
        student: logits, ``(B, C, ...)``.
        teacher: logits of the same shape, taken as constants.
        temperature: T, by which both are divided.
        t_square: multiply the result by the squared temperature.
        weight: weight of each voxel, above 0, of the same shape: the mean is then the weighted one of each class.
    """
    student, teacher = plain(student), plain(teacher).detach()
    scale = temperature**2 if t_square else 1.0
    if weight is not None:
        each_class = [0, *range(2, weight.ndim)]
        weight = weight / weight.sum(each_class, keepdim=True)  # (B, C, ...)
        return _SoftenedCrossEntropy.apply(student, teacher, temperature, weight) * scale
    positions = student.numel() // student.shape[1]
    loss: Tensor = _SoftenedCrossEntropy.apply(student, teacher, temperature, None)
    return loss * (scale / positions)


class _SoftenedCrossEntropy(torch.autograd.Function):
    """Sum of w BCE(sigmoid(student / T), sigmoid(teacher / T)); its gradient is w times the difference of both / T."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float, weight: Tensor | None) -> Tensor:
        ctx.save_for_backward(student, teacher, weight)
        ctx.temperature = temperature
        dtype = torch.promote_types(student.dtype, torch.float32)
        total = torch.zeros((), dtype=dtype, device=student.device)
        order = _memory_order(student)
        parts = _parts(student, order), _parts(teacher, order), _weight_parts(weight, student, order)
        for student_part, teacher_part, weight_part in zip(*parts, strict=True):
            logits = student_part.to(dtype) / temperature
            target = (teacher_part.to(dtype) / temperature).sigmoid_()
            total += F.binary_cross_entropy_with_logits(logits, target, weight_part, reduction="sum")
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        student, teacher, weight = ctx.saved_tensors
        scale = grad_output / ctx.temperature
        order = _memory_order(student)
        gradient = torch.empty([student.shape[dim] for dim in order], dtype=student.dtype, device=student.device)
        parts = (_parts(student, order), _parts(teacher, order), _weight_parts(weight, student, order))
        gradient_parts = gradient.view(-1).split(_chunk(student))
        for student_part, teacher_part, weight_part, gradient_part in zip(*parts, gradient_parts, strict=True):
            probability = (student_part.to(scale.dtype) / ctx.temperature).sigmoid_()
            target = (teacher_part.to(scale.dtype) / ctx.temperature).sigmoid_()
            difference = probability.sub_(target).mul_(scale)
            gradient_part.copy_(difference if weight_part is None else difference.mul_(weight_part))
        return gradient.permute([order.index(dim) for dim in range(student.ndim)]), None, None, None


def _memory_order(tensor: Tensor) -> list[int]:
    """Dimensions from the slowest to the fastest in memory: channels-last tensors are walked as they lie."""
    return sorted(range(tensor.ndim), key=tensor.stride, reverse=True)


def _parts(tensor: Tensor, order: list[int]) -> tuple[Tensor, ...]:
    """Cut a tensor, walked in the given order of dimensions, into flat pieces; a copy only where it lies otherwise."""
    return tensor.permute(order).reshape(-1).split(_chunk(tensor))


def _weight_parts(weight: Tensor | None, like: Tensor, order: list[int]) -> tuple[Tensor | None, ...]:
    """Cut weights as the logits are cut; ``None`` for each piece where voxels weigh alike."""
    if weight is None:
        return (None,) * -(-like.numel() // _chunk(like))
    return _parts(weight, order)


def _chunk(tensor: Tensor) -> int:
    return CPU_CHUNK if tensor.device.type == "cpu" else GPU_CHUNK
