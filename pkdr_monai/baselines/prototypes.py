"""Class prototypes, and how similar every voxel is to each: what ProtoKD carries from teacher to student."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from pkdr_monai.losses.inputs import at_least_float32, full_precision, plain

__all__ = ["MissingClass", "check_missing_class", "prototype_loss", "prototype_similarity"]

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
