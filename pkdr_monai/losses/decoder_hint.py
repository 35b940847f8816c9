"""A hint that the paper does not have: the student's last decoder feature predicts the teacher's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import at_least_float32, check_same_shape, plain

__all__ = ["DecoderHintLoss"]

SHORTEST = 1e-3  # length below which a feature's direction counts less


class DecoderHintLoss(_Loss):
    r"""Pull what the student's output layer sees in every voxel towards what the teacher's sees.

    The student's feature goes through a 1x1x1 convolution, as in FitNets (Romero et al. 2015, arXiv 1412.6550), and is
    compared with the teacher's by its direction alone, so that no scale has to be learnt. With the student's vector
    :math:`s_n` and the teacher's :math:`t_n` in voxel n:

    .. math::
        L_{hint} = \frac{1}{N} \sum_n \big( 1 - \cos(s_n, t_n) \big)

    The mean runs over batch and voxels; the value lies between 0 and 2. A vector shorter than 0.001 is divided by 0.001
    instead of its length, so that a dead feature has a cosine of 0 and a finite gradient. No gradient reaches the
    teacher.

    Example:
        >>> teacher = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1, 1)
        >>> loss = DecoderHintLoss()
        >>> f"same {loss(3 * teacher, teacher):.3f}, opposite {loss(-teacher, teacher):.3f}"
        'same 0.000, opposite 2.000'
    """

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            student: the student's feature after its head, ``(B, F, X, Y, Z)``.
            teacher: the teacher's decoder feature, ``(B, F, X, Y, Z)``; the floating dtypes may differ.

        Raises:
            ValueError: when the shapes differ.
        """
        remedy = "Let the head have as many output channels as the teacher's decoder feature."
        check_same_shape("DecoderHintLoss", remedy, student=student, teacher=teacher)
        student, teacher = at_least_float32(plain(student)), at_least_float32(plain(teacher).detach())
        teacher = teacher.to(torch.promote_types(student.dtype, teacher.dtype))
        return 1 - F.cosine_similarity(student, teacher, dim=1, eps=SHORTEST).mean()
