"""Eq. 6: learn from the teacher's opinion on every patch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import check_positive, check_same_shape
from pkdr_monai.losses.pixel_kd import sigmoid_distillation

__all__ = ["PatchKDLoss"]


class PatchKDLoss(_Loss):
    r"""Pull the student's opinion on which patches hold tumour towards the teacher's.

    The same comparison as :class:`~pkdr_monai.losses.PixelKDLoss`, on the logits :math:`u` of the patch-selection heads
    and at a lower temperature (Eq. 6):

    .. math::
        L_{pskd} = \sum_c \frac{1}{N} \sum_p \mathrm{BCE}(\sigma(u^s_{cp} / T), \sigma(u^t_{cp} / T))

    The mean runs over batch and patches, the sum over regions. No gradient reaches the teacher. The paper does not
    multiply by :math:`T^2`; ``t_square`` does.

    Args:
        temperature: T, above 0.
        t_square: multiply the loss by the squared temperature.

    Raises:
        ValueError: when the temperature is not a finite number above 0.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([5.0, -5.0, -5.0]).reshape(1, 3, 1, 1, 1)
        >>> loss = PatchKDLoss()
        >>> f"same {loss(teacher, teacher):.2f}, opposite {loss(-teacher, teacher):.2f}"
        'same 1.75, opposite 3.13'
    """

    def __init__(self, temperature: float = 5.0, t_square: bool = False) -> None:
        super().__init__()
        check_positive("PatchKDLoss", temperature=temperature)
        self.temperature = temperature
        self.t_square = t_square

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        return f"temperature={self.temperature}, t_square={self.t_square}"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            student: patch logits of the student, ``(B, C, X/P, Y/P, Z/P)``.
            teacher: patch logits of the teacher, ``(B, C, X/P, Y/P, Z/P)``; the floating dtypes may differ.

        Raises:
            ValueError: when the shapes differ.
        """
        check_same_shape(
            "PatchKDLoss", "Both heads have to see the same crop and regions.", student=student, teacher=teacher
        )
        return sigmoid_distillation(student, teacher, self.temperature, self.t_square)
