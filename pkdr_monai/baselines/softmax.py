"""Four exclusive classes instead of three nested regions, as ProtoKD's lineage trains on; PMKL's code has five."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.inputs import at_least_float32, plain
from pkdr_monai.regions import regions_to_label

__all__ = [
    "CLASSES",
    "SoftmaxSegmentationLoss",
    "regions_to_classes",
    "softmax_dice",
    "softmax_segmentation_loss",
    "weighted_cross_entropy",
]

CLASSES: tuple[str, ...] = ("background", "ncr", "ed", "et")
"""Channel order of class logits: background, necrotic and non-enhancing core, oedema, enhancing tumour."""

CLASS_SCHEME = "brats2023"  # whose label values are the indices of CLASSES
SMOOTH = 1e-5  # keeps the Dice of an absent class at 1, and its gradient finite


class SoftmaxSegmentationLoss(_Loss):
    r"""Compare the four class logits of every voxel with its class.

    Cross-entropy in which a class counts for the more the rarer it is in the batch, plus Dice, as in ProtoKD's public
    code, where the unimodal baseline trains on nothing else:

    .. math::
        L = \frac{\sum_n w_{y_n} (-\log p_{y_n n})}{\sum_n w_{y_n}}
        + \frac{1}{4} \sum_c \Big[ 1 - \frac{2 \sum_n p_{cn} y_{cn} + \epsilon}
        {\sum_n p_{cn}^2 + \sum_n y_{cn}^2 + \epsilon} \Big], \qquad w_c = 1 - n_c / N

    where :math:`n` runs over the batch and the voxels. A batch of one class alone has weight 0 everywhere, for which
    the formula says 0 / 0; its cross-entropy is 0 here.

    It takes the place of :class:`~pkdr_monai.losses.SegmentationLoss` where a network has class logits.

    Example:
        >>> label = torch.zeros(1, 3, 4, 4, 4)  # regions TC, WT, ET
        >>> label[:, 1, :2] = 1  # oedema
        >>> logits = torch.zeros(1, 4, 4, 4, 4)
        >>> f"{SoftmaxSegmentationLoss()(logits, label):.3f}"
        '2.164'
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: one channel for each of :data:`CLASSES`, before the softmax, ``(B, 4, X, Y, Z)``.
            label: regions TC, WT, ET, 1 inside and 0 outside, ``(B, 3, X, Y, Z)``.

        Raises:
            ValueError: when the shapes do not fit.
        """
        return softmax_segmentation_loss(logits, label)


def softmax_segmentation_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Weighted cross-entropy plus Dice, as a function; see :class:`SoftmaxSegmentationLoss`."""
    logits, label = plain(logits), plain(label)
    expected = (logits.shape[0], 3, *logits.shape[2:])
    if logits.shape[1] != len(CLASSES) or tuple(label.shape) != expected:
        raise ValueError(
            f"SoftmaxSegmentationLoss expects logits (B, {len(CLASSES)}, X, Y, Z), one channel for each of "
            f"{', '.join(CLASSES)}, and a label (B, 3, X, Y, Z) of regions, but they are {tuple(logits.shape)} and "
            f"{tuple(label.shape)}. Give the network out_channels: {len(CLASSES)}."
        )
    logits = at_least_float32(logits)
    target = regions_to_classes(label)  # (B, X, Y, Z)
    one_hot = F.one_hot(target, len(CLASSES)).movedim(-1, 1).to(logits.dtype)  # (B, 4, X, Y, Z)
    return weighted_cross_entropy(logits, target) + softmax_dice(logits, one_hot)


def regions_to_classes(label: Tensor) -> Tensor:
    """Turn nested regions into the exclusive class of each voxel; a smaller region wins over the larger ones.

    Args:
        label: regions TC, WT, ET, ``(B, 3, X, Y, Z)``.

    Returns:
        Index in :data:`CLASSES`, int64, ``(B, X, Y, Z)``.

    Example:
        >>> regions = torch.tensor([[0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]]).reshape(1, 3, 4, 1, 1)
        >>> [CLASSES[index] for index in regions_to_classes(regions).flatten()]
        ['background', 'ncr', 'ed', 'et']
    """
    return regions_to_label(plain(label).transpose(0, 1), CLASS_SCHEME)[0].long()


def weighted_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy in which each class weighs one minus its share of the batch; 0 where there is one class only.

    Args:
        logits: ``(B, C, X, Y, Z)``.
        target: class of each voxel, int64, ``(B, X, Y, Z)``.
    """
    classes = torch.arange(logits.shape[1], device=target.device)
    voxels = torch.stack([(target == index).sum() for index in classes]).to(logits.dtype)  # (C,)
    weight = 1 - voxels / target.numel()  # (C,)
    total = F.cross_entropy(logits, target, weight, reduction="sum")
    return total / (weight * voxels).sum().clamp_min(torch.finfo(logits.dtype).tiny)


def softmax_dice(logits: Tensor, target: Tensor) -> Tensor:
    """One minus Dice with squared terms, over the whole batch, the mean over the classes, background included.

    Args:
        logits: ``(B, C, X, Y, Z)``.
        target: one channel a class, 0 and 1 or probabilities, ``(B, C, X, Y, Z)``.
    """
    probability = logits.softmax(1)  # (B, C, ...)
    each_class = [0, *range(2, logits.ndim)]  # sum over all but the classes
    overlap = (probability * target).sum(each_class)  # (C,)
    size = probability.square().sum(each_class) + target.square().sum(each_class)  # (C,)
    return (1 - (2 * overlap + SMOOTH) / (size + SMOOTH)).mean()
