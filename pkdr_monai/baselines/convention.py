"""The two ways to write a tumour into output channels, and what depends on the choice."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from pkdr_monai.baselines.softmax import CLASSES, regions_to_classes, softmax_segmentation_loss
from pkdr_monai.losses.inputs import plain
from pkdr_monai.losses.segmentation import segmentation_loss

__all__ = ["Convention", "check_convention", "class_masks", "supervised_loss"]

Convention = Literal["regions", "softmax"]
"""``"regions"``: a sigmoid for each of TC, WT, ET, as PKDR. ``"softmax"``: four exclusive classes, as the originals."""


def check_convention(loss: str, convention: str) -> Convention:
    """Return ``convention`` if it names one.

    Raises:
        ValueError: when it does not.
    """
    if convention not in get_args(Convention):
        known = " or ".join(map(repr, get_args(Convention)))
        raise ValueError(f"{loss} expects convention to be {known}, but it is {convention!r}.")
    return convention  # type: ignore[return-value]


def supervised_loss(logits: Tensor, label: Tensor, convention: Convention) -> Tensor:
    """Compare a segmentation with its label: Eq. 8 for regions, weighted cross-entropy and Dice for classes.

    Args:
        logits: ``(B, 3, X, Y, Z)`` for regions, ``(B, 4, X, Y, Z)`` for classes.
        label: regions, ``(B, 3, X, Y, Z)``.
    """
    if convention == "regions":
        return segmentation_loss(logits, label)
    return softmax_segmentation_loss(logits, label)


def class_masks(label: Tensor, convention: Convention) -> Tensor:
    """Return the voxels of each class: each region and then each complement, or each of the four classes.

    Args:
        label: regions, ``(B, 3, X, Y, Z)``.

    Returns:
        Bool, ``(B, K, X, Y, Z)``, with K = 6 for regions and 4 for classes.

    Example:
        >>> label = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1, 1)  # oedema
        >>> [class_masks(label, convention).int().flatten().tolist() for convention in ("regions", "softmax")]
        [[0, 1, 0, 1, 0, 1], [0, 0, 1, 0]]
    """
    if convention == "regions":
        inside = plain(label) > 0
        return torch.cat([inside, ~inside], 1)
    return F.one_hot(regions_to_classes(label), len(CLASSES)).movedim(-1, 1).bool()
