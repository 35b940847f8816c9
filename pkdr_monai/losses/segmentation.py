"""Eq. 8: how well the logits of a network agree with the regions that an annotator drew."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import at_least_float32, check_same_shape, plain

__all__ = ["DiceForm", "SegmentationLoss", "check_dice_form", "cross_entropy", "dice_loss", "segmentation_loss"]

DiceForm = Literal["soft", "hard", "straight_through"]
SMOOTH = 1e-5  # keeps the Dice of an empty region at 1, and its gradient finite


class SegmentationLoss(_Loss):
    r"""Compare a segmentation with its label, voxel by voxel and region by region.

    Binary cross-entropy plus Dice for each region (class) :math:`c`, because the regions of a tumour contain each
    other and each has its own sigmoid (Eq. 8 of the paper):

    .. math::
        L_{seg} = \sum_c \Big[ \frac{1}{N} \sum_n \mathrm{BCE}(\sigma(z_{cn}), y_{cn})
        + 1 - \frac{2 \sum_n p_{cn} y_{cn} + \epsilon}{\sum_n p_{cn}^2 + \sum_n y_{cn}^2 + \epsilon} \Big]

    Both parts are summed over the regions; :math:`n` runs over the batch and the voxels. The paper prints Dice with the
    binarised prediction, which has no gradient; ``dice`` chooses the reading.

    Args:
        dice: the prediction :math:`p` inside Dice. ``"soft"``, the default: the probability :math:`\sigma(z)`.
            ``"hard"``: 1 where the probability exceeds 0.5, as printed; then only the cross-entropy trains.
            ``"straight_through"``: the value of ``"hard"``, with a gradient that passes the binarisation by.

    Raises:
        ValueError: when ``dice`` is none of these.

    Example:
        >>> label = torch.zeros(1, 3, 4, 4, 4)
        >>> label[..., :2] = 1
        >>> loss = SegmentationLoss()
        >>> right, wrong = loss(20 * label - 10, label), loss(10 - 20 * label, label)
        >>> f"{right:.3f} {wrong:.3f}"
        '0.000 33.000'
    """

    def __init__(self, dice: DiceForm = "soft") -> None:
        super().__init__()
        self.dice = check_dice_form("SegmentationLoss", dice)

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        return f"dice={self.dice!r}"

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: the network's output before the sigmoid, ``(B, C, X, Y, Z)``.
            label: 1 inside a region and 0 outside, any dtype, ``(B, C, X, Y, Z)``.

        Raises:
            ValueError: when the shapes differ.
        """
        return segmentation_loss(logits, label, self.dice)


def segmentation_loss(logits: Tensor, label: Tensor, dice: DiceForm = "soft") -> Tensor:
    """Binary cross-entropy plus Dice, as a function; see :class:`SegmentationLoss`."""
    logits, label = plain(logits), plain(label)
    check_same_shape("SegmentationLoss", "The label needs one channel for each region.", logits=logits, label=label)
    logits = at_least_float32(logits)
    label = label.detach().to(logits.dtype)
    return cross_entropy(logits, label) + dice_loss(logits, label, dice)


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy: the mean over batch and positions, summed over the classes."""
    return F.binary_cross_entropy_with_logits(logits, label) * logits.shape[1]


def dice_loss(logits: Tensor, label: Tensor, dice: DiceForm = "soft") -> Tensor:
    """One minus Dice with squared terms, over the whole batch, summed over the classes.

    It is MONAI's ``DiceLoss(sigmoid=True, squared_pred=True, batch=True, reduction="sum")`` but for the rounding: that
    one takes its sums from ``torch.linalg.vector_norm``, which in float32 on the CPU loses 0.3 % over a large crop.
    """
    prediction = _prediction(logits, dice)  # (B, C, ...)
    each_class = [0, *range(2, logits.ndim)]  # sum over all but the classes
    overlap = (prediction * label).sum(each_class)  # (C,)
    size = prediction.square().sum(each_class) + label.square().sum(each_class)  # (C,)
    return (1 - (2 * overlap + SMOOTH) / (size + SMOOTH)).sum()


def check_dice_form(loss: str, dice: str) -> DiceForm:
    """Return ``dice`` if it names a form of Dice.

    Raises:
        ValueError: when it does not.
    """
    if dice not in get_args(DiceForm):
        raise ValueError(f"{loss} expects dice to be one of {', '.join(get_args(DiceForm))}, but it is {dice!r}.")
    return dice  # type: ignore[return-value]


def _prediction(logits: Tensor, dice: DiceForm) -> Tensor:
    if dice == "soft":
        return torch.sigmoid(logits)
    hard = (logits > 0).to(logits.dtype)  # the sigmoid exceeds 0.5
    if dice == "hard":
        return hard
    probability = torch.sigmoid(logits)
    return hard + (probability - probability.detach())
