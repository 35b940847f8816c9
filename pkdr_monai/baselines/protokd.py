"""ProtoKD (Wang et al., ICASSP 2023): pixel distillation, and the similarity of every voxel to class prototypes."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from pkdr_monai.baselines.softmax import Convention, check_convention, class_masks, supervised_loss
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

__all__ = ["MissingClass", "ProtoKDLoss", "check_missing_class", "mean_kl", "prototype_loss", "prototype_similarity"]

MissingClass = Literal["sample", "batch"]
"""Where a class is left out: in the samples that lack it, or in the batch as soon as one sample lacks it."""

SMOOTH = 1e-5  # keeps the prototype of an absent class finite
SHORTEST = 1e-8  # a feature shorter than this has no direction


def check_missing_class(loss: str, missing_class: str) -> MissingClass:
    """Return ``missing_class`` if it names a rule.

    Raises:
        ValueError: when it does not.
    """
    if missing_class not in get_args(MissingClass):
        known = " or ".join(map(repr, get_args(MissingClass)))
        raise ValueError(f"{loss} expects missing_class to be {known}, but it is {missing_class!r}.")
    return missing_class  # type: ignore[return-value]


def prototype_loss(student: Tensor, teacher: Tensor, masks: Tensor, missing_class: MissingClass = "sample") -> Tensor:
    r"""Make the student's voxels as similar to its class prototypes as the teacher's are to its own.

    .. math::
        L_{proto} = \frac{1}{|K|} \sum_{(b, c) \in K} \frac{1}{N} \sum_v (M^s_{bc}(v) - M^t_{bc}(v))^2

    with the maps :math:`M` of :func:`prototype_similarity`, and :math:`K` the classes of the samples that have them;
    0 where there is none.

    Args:
        student: feature, ``(B, D, X, Y, Z)``.
        teacher: feature, ``(B, D', X, Y, Z)``, taken as a constant; its width may differ.
        masks: voxels of each class, bool, ``(B, K, X, Y, Z)``; classes may overlap.
        missing_class: ``"sample"`` leaves a class out of the samples that lack it; ``"batch"`` leaves it out of all
            samples as soon as one lacks it, as ProtoKD's code does.

    Raises:
        ValueError: when the features and the masks are not of one batch and one size.
    """
    student, teacher, masks = plain(student), plain(teacher).detach(), plain(masks)
    _check_shapes(student, teacher, masks)
    present = masks.flatten(2).any(2)  # (B, K)
    if missing_class == "batch":
        present = present.all(0, keepdim=True).expand_as(present)
    with torch.no_grad():
        target = prototype_similarity(teacher, masks)
    difference = (prototype_similarity(student, masks) - target).square().flatten(2).mean(2)  # (B, K)
    kept = present.to(difference.dtype)
    return (difference * kept).sum() / kept.sum().clamp_min(1)


def prototype_similarity(feature: Tensor, masks: Tensor) -> Tensor:
    r"""Cosine between the feature of every voxel and the prototype of every class of the same sample.

    A prototype is the mean of the features in the voxels of its class. All classes are one matrix product, so that
    nothing larger than a map for each class is made besides the feature. A feature of zeros has no direction: its
    cosine is 0, and so is its gradient.

    Args:
        feature: ``(B, D, X, Y, Z)``.
        masks: voxels of each class, bool, ``(B, K, X, Y, Z)``.

    Returns:
        Similarities from -1 to 1, float32 at least, ``(B, K, X, Y, Z)``; 0 for a class without voxels.

    Example:
        >>> feature = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.0, 2.0]]).reshape(1, 2, 3, 1, 1)
        >>> masks = torch.tensor([[1, 1, 0], [0, 0, 1]]).bool().reshape(1, 2, 3, 1, 1)
        >>> prototype_similarity(feature, masks).flatten(2).tolist()
        [[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]
    """
    voxels = at_least_float32(plain(feature)).flatten(2)  # (B, D, N)
    with full_precision(voxels):
        inside = plain(masks).flatten(2).to(voxels.dtype)  # (B, K, N)
        count = inside.sum(2, keepdim=True)  # (B, K, 1)
        prototypes = torch.bmm(inside, voxels.transpose(1, 2)) / (count + SMOOTH)  # (B, K, D)
        direction = prototypes * _inverse_length(prototypes, 2)
        cosine = torch.bmm(direction, voxels) * _inverse_length(voxels, 1)  # (B, K, N)
    return cosine.unflatten(2, feature.shape[2:])


def _inverse_length(vectors: Tensor, dim: int) -> Tensor:
    """Return 1 / length, and 0, a constant, for a vector of no length."""
    squared = vectors.square().sum(dim, keepdim=True)  # vector_norm is slow along a strided dimension
    return torch.where(squared > SHORTEST**2, squared.clamp_min(SHORTEST**2).rsqrt(), 0)


def _check_shapes(student: Tensor, teacher: Tensor, masks: Tensor) -> None:
    shapes = {(len(tensor), *tensor.shape[2:]) for tensor in (student, teacher, masks)}
    if len(shapes) > 1:
        raise ValueError(
            "the prototype loss expects features of both networks and masks of one batch and one size, but student is "
            f"{tuple(student.shape)}, teacher {tuple(teacher.shape)} and the masks {tuple(masks.shape)}. Take features "
            "at full resolution, such as decoder_feature."
        )


class ProtoKDLoss(DistillationLoss):
    r"""Train a one-modality student on its labels, on its teacher's probabilities, and on how its classes vary.

    .. math::
        L = L_{seg} + 10 \, L_{kd} + 0.1 \, L_{proto}

    :math:`L_{kd}` is the divergence of the softened outputs, averaged over everything, see :func:`mean_kl`;
    :math:`L_{proto}` compares the maps of similarity to class prototypes, taken from the last decoder feature with the
    label's masks, see :func:`~pkdr_monai.baselines.protokd.prototype_loss`.

    How sure this is: read in the authors' public code (MIT), with ``convention="softmax"`` and
    ``missing_class="batch"``. With regions, each region and its complement are classes of their own and the
    divergence is that of each sigmoid: readings taken. The public code computes the polynomial learning rate of the
    student and never applies it; the recipe here does.

    Args:
        kd_weight: weight of the pixel distillation, 0 or more.
        proto_weight: weight of the prototype distillation, 0 or more.
        temperature: T of the pixel distillation, above 0; no :math:`T^2`.
        missing_class: a class without voxels in a sample is left out there (``"sample"``), or, as in the original, in
            the whole batch (``"batch"``), which a small crop without enhancing tumour then costs all others.
        convention: ``"regions"``, three sigmoids, or ``"softmax"``, the four classes of the original.

    Attributes:
        weights: the weight of each term, by name.
        parts: after a call, the value of each term before its weight.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> import torch
        >>> label = torch.zeros(1, 3, 16, 16, 16)
        >>> label[..., :4] = 1
        >>> student = {"logits": torch.zeros(1, 3, 16, 16, 16), "decoder_feature": torch.ones(1, 2, 16, 16, 16)}
        >>> teacher = {"logits": 80 * label - 40, "decoder_feature": torch.cat([label, 1 - label], 1)}
        >>> loss = ProtoKDLoss()
        >>> total = loss({"student": student, "teacher": teacher}, label)
        >>> {name: f"{value:.3f}" for name, value in loss.parts.items()}
        {'segmentation': '3.579', 'pixel_kd': '0.603', 'prototype': '0.500'}
    """

    described: ClassVar[tuple[str, ...]] = ("temperature", "missing_class", "convention")

    def __init__(
        self,
        kd_weight: float = 10.0,
        proto_weight: float = 0.1,
        temperature: float = 10.0,
        missing_class: MissingClass = "sample",
        convention: Convention = "regions",
    ) -> None:
        super().__init__({"segmentation": 1.0, "pixel_kd": kd_weight, "prototype": proto_weight})
        check_weight("ProtoKDLoss", kd_weight=kd_weight)
        check_weight("ProtoKDLoss", proto_weight=proto_weight)
        check_positive("ProtoKDLoss", temperature=temperature)
        self.missing_class = check_missing_class("ProtoKDLoss", missing_class)
        self.convention = check_convention("ProtoKDLoss", convention)
        self.temperature = temperature

    def forward(self, prediction: Prediction, label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its terms in :attr:`parts`.

        Args:
            prediction: ``{"student": ..., "teacher": ...}``, each with ``"logits"`` ``(B, C, X, Y, Z)`` and
                ``"decoder_feature"`` ``(B, D, X, Y, Z)``.
            label: regions, 1 inside and 0 outside, ``(B, 3, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing that a term needs, or shapes do not fit.
        """
        return self.weighted_sum(
            {
                "segmentation": lambda: supervised_loss(
                    predicted("ProtoKDLoss", prediction, "student", "logits"), label, self.convention
                ),
                "pixel_kd": lambda: mean_kl(
                    *predicted_by_both("ProtoKDLoss", prediction, "logits"), self.temperature, self.convention
                ),
                "prototype": lambda: prototype_loss(
                    *predicted_by_both("ProtoKDLoss", prediction, "decoder_feature"),
                    class_masks(label, self.convention),
                    self.missing_class,
                ),
            }
        )


def mean_kl(student: Tensor, teacher: Tensor, temperature: float, convention: Convention = "regions") -> Tensor:
    """KL(teacher || student) of the softened outputs, averaged over batch, channels and voxels.

    With classes, that is the divergence of the softmax divided by their number, as the original has it. With regions,
    it is the mean of the divergences of the sigmoids, each of a region against its complement.

    Args:
        student: logits, ``(B, C, X, Y, Z)``.
        teacher: logits of the same shape, taken as constants.
        temperature: T, by which both are divided.
        convention: what the channels are.

    Raises:
        ValueError: when the shapes differ.
    """
    student, teacher = plain(student), plain(teacher).detach()
    check_same_shape("ProtoKDLoss", "Both networks need the same outputs.", student=student, teacher=teacher)
    if convention == "regions":
        entropy = sigmoid_distillation(teacher, teacher, temperature)
        return (sigmoid_distillation(student, teacher, temperature) - entropy) / student.shape[1]
    log_student, log_teacher = ((at_least_float32(z) / temperature).log_softmax(1) for z in (student, teacher))
    return F.kl_div(log_student, log_teacher, reduction="sum", log_target=True) / student.numel()
