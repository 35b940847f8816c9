"""Networks with a softmax over classes: their loss, their conventions, and the way to regions."""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import at_least_float32, plain
from pkdr_monai.losses.segmentation import segmentation_loss
from pkdr_monai.regions import regions_to_label

__all__ = [
    "CLASSES",
    "ClassesToRegions",
    "Convention",
    "SoftmaxSegmentationLoss",
    "check_convention",
    "class_masks",
    "regions_to_classes",
    "softmax_dice",
    "softmax_segmentation_loss",
    "supervised_loss",
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


Convention = Literal["regions", "softmax"]
"""``"regions"``: a sigmoid for each of TC, WT, ET, as PKDR. ``"softmax"``: four exclusive classes (PMKL: five)."""


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


class ClassesToRegions(nn.Module):
    r"""Let a network that was trained with a softmax over four classes be deployed as one of three region sigmoids.

    A region holds several classes, so its probability is the sum of theirs, and its logit the difference of two sums
    of exponentials in the logarithm:

    .. math::
        z_{region} = \log \sum_{c \in region} e^{z_c} - \log \sum_{c \notin region} e^{z_c}, \qquad
        \sigma(z_{region}) = \sum_{c \in region} \mathrm{softmax}(z)_c

    Evaluation, inference and export then take it as any other network. Regions where this exceeds 0.5 are not quite
    those of the likeliest class: three tumour classes at 0.2 each outweigh a background of 0.4, whose argmax is
    background.

    Training reads :meth:`features`, in which ``logits`` are the four classes.

    Args:
        network: network whose output channels are :data:`~pkdr_monai.baselines.softmax.CLASSES`.

    Example:
        >>> from pkdr_monai.networks import PatchVNet
        >>> network = ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2)).eval()
        >>> image = torch.zeros(1, 1, 16, 16, 16)
        >>> tuple(network(image).shape), tuple(network.features(image)["logits"].shape)
        ((1, 3, 16, 16, 16), (1, 4, 16, 16, 16))
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of TC, WT and ET, ``(B, 3, X, Y, Z)``, from an image, ``(B, M, X, Y, Z)``."""
        background, ncr, ed, et = self.network(x).float().unbind(1)
        core = torch.logaddexp(ncr, et)
        tc = core - torch.logaddexp(background, ed)
        wt = torch.logaddexp(core, ed) - background
        et = et - torch.logaddexp(torch.logaddexp(background, ncr), ed)
        return torch.stack([tc, wt, et], 1)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the wrapped network's own ``features`` does; ``logits`` are ``(B, 4, X, Y, Z)``."""
        return self.network.features(x)  # type: ignore[operator]
