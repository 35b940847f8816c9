"""KD-Net (Hu, Maillard et al., MICCAI 2020): learn the teacher's softened segmentation and its bottleneck."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from pkdr_monai.baselines.softmax import Convention, check_convention, softmax_dice, supervised_loss
from pkdr_monai.losses.base import (
    DistillationLoss,
    Prediction,
    at_least_float32,
    check_positive,
    check_same_shape,
    check_weight,
    full_precision,
    plain,
    predicted,
    predicted_by_both,
)
from pkdr_monai.losses.pixel_kd import sigmoid_distillation
from pkdr_monai.losses.segmentation import dice_loss

__all__ = ["KDNetLoss", "bottleneck_kl", "soft_target_loss"]


class KDNetLoss(DistillationLoss):
    r"""Train a one-modality student on its labels, on its teacher's softened segmentation, and on its bottleneck.

    .. math::
        L = \lambda \, [\mathrm{Dice} + \mathrm{BCE}](\sigma(z^s / T), \sigma(z^t / T))
        + (1 - \lambda) \, [\mathrm{Dice} + \mathrm{BCE}](\sigma(z^s), y)
        + \alpha \, \mathrm{KL}(\mathrm{softmax}(b^t) \,\|\, \mathrm{softmax}(b^s))

    How sure this is: KD-Net has no public code, and its text could not be read here. That a frozen teacher of all
    modalities teaches a student of one is from its abstract; the three terms, :math:`\lambda = 0.75`, :math:`T = 5`
    and :math:`\alpha = 10` are from memory. Readings taken: no :math:`T^2`; Dice with squared terms, as everywhere
    here; the softmax of the bottleneck :math:`b` runs over its channels, and the divergence is averaged over the batch
    and the positions. Since :math:`\alpha = 10` belongs to a reduction that is not known, compare 1, 10 and 100 on the
    validation cases and report which was taken. Recipe, crop and network are those of the other methods, not
    KD-Net's own.

    Args:
        kd_weight: :math:`\lambda`, from 0 to 1.
        alpha: weight of the bottleneck's divergence, 0 or more.
        temperature: T, above 0.
        convention: ``"regions"``, three sigmoids, or ``"softmax"``, four classes: then cross-entropy takes the place of
            BCE, and the labels are learnt by :class:`~pkdr_monai.baselines.SoftmaxSegmentationLoss`.

    Attributes:
        weights: the weight of each term, by name.
        parts: after a call, the value of each term before its weight.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> import torch
        >>> output = {"logits": torch.zeros(1, 3, 16, 16, 16), "embedding": torch.zeros(1, 32, 1, 1, 1)}
        >>> loss = KDNetLoss()
        >>> f"{loss({'student': output, 'teacher': output}, torch.zeros(1, 3, 16, 16, 16)):.3f}"
        '2.829'
        >>> {name: f"{value:.3f}" for name, value in loss.parts.items()}
        {'segmentation': '5.079', 'soft_target': '2.079', 'bottleneck_kl': '0.000'}
    """

    described: ClassVar[tuple[str, ...]] = ("temperature", "convention")

    def __init__(
        self,
        kd_weight: float = 0.75,
        alpha: float = 10.0,
        temperature: float = 5.0,
        convention: Convention = "regions",
    ) -> None:
        check_weight("KDNetLoss", 1.0, kd_weight=kd_weight)
        check_weight("KDNetLoss", alpha=alpha)
        super().__init__({"segmentation": 1 - kd_weight, "soft_target": kd_weight, "bottleneck_kl": alpha})
        check_positive("KDNetLoss", temperature=temperature)
        self.convention = check_convention("KDNetLoss", convention)
        self.temperature = temperature

    def forward(self, prediction: Prediction, label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its terms in :attr:`parts`.

        Args:
            prediction: ``{"student": ..., "teacher": ...}``, each with ``"logits"`` ``(B, C, X, Y, Z)`` and
                ``"embedding"`` ``(B, D, x, y, z)``.
            label: regions, 1 inside and 0 outside, ``(B, 3, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing that a term needs, or shapes do not fit.
        """
        return self.weighted_sum(
            {
                "segmentation": lambda: supervised_loss(
                    predicted("KDNetLoss", prediction, "student", "logits"), label, self.convention
                ),
                "soft_target": lambda: soft_target_loss(
                    *predicted_by_both("KDNetLoss", prediction, "logits"), self.temperature, self.convention
                ),
                "bottleneck_kl": lambda: bottleneck_kl(*predicted_by_both("KDNetLoss", prediction, "embedding")),
            }
        )


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float, convention: Convention) -> Tensor:
    """Cross-entropy plus Dice between two softened segmentations.

    Both are averaged over batch and voxels. With regions they are summed over the regions; with classes, the
    cross-entropy has no class weights and Dice is averaged over the classes, as it is with labels.

    Args:
        student: logits, ``(B, C, X, Y, Z)``.
        teacher: logits of the same shape, taken as constants.
    """
    student, teacher = plain(student), plain(teacher).detach()
    check_same_shape("KDNetLoss", "Both networks need the same outputs.", student=student, teacher=teacher)
    softened = at_least_float32(student) / temperature
    target = at_least_float32(teacher) / temperature
    if convention == "regions":
        return sigmoid_distillation(student, teacher, temperature) + dice_loss(softened, target.sigmoid())
    target = target.softmax(1)
    return F.cross_entropy(softened, target) + softmax_dice(softened, target)


def bottleneck_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(student)) over the channels, averaged over batch and positions.

    Args:
        student: bottleneck embedding, ``(B, D, x, y, z)``.
        teacher: bottleneck embedding of the same shape, taken as a constant.

    Example:
        >>> import torch
        >>> student, teacher = torch.zeros(1, 2, 1, 1, 1), torch.tensor([0.0, 40.0]).reshape(1, 2, 1, 1, 1)
        >>> f"{bottleneck_kl(teacher, teacher):.3f} {bottleneck_kl(student, teacher):.3f}"
        '0.000 0.693'
    """
    student, teacher = plain(student), plain(teacher).detach()
    check_same_shape("KDNetLoss", "The bottlenecks need the same width and crop.", student=student, teacher=teacher)
    with full_precision(student):
        divergence = F.kl_div(
            at_least_float32(student).log_softmax(1),
            at_least_float32(teacher).log_softmax(1),
            reduction="sum",
            log_target=True,
        )
    return divergence / (student.numel() // student.shape[1])
