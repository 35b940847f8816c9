"""The loss that trains U-HVED: segment, redraw every image, and believe the same whatever is missing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pkdr_monai.baselines.uhved import LEVELS, subset_divergence
from pkdr_monai.losses.base import (
    DistillationLoss,
    Prediction,
    at_least_float32,
    check_same_shape,
    check_weight,
    predicted,
)
from pkdr_monai.losses.segmentation import segmentation_loss

__all__ = ["UHVEDLoss"]


class UHVEDLoss(DistillationLoss):
    r"""Train :class:`~pkdr_monai.baselines.UHVED` (Dorent et al., MICCAI 2019).

    .. math::
        L = L_{seg} + \lambda_r \, \mathrm{MSE}(\hat x, x) + \lambda_k \frac{1}{4} \sum_l D_l

    :math:`\hat x` are the images redrawn from the subset of modalities that the step kept; all of them count, the
    missing ones too, averaged over batch, modalities and voxels. :math:`D_l` is the divergence between what the subsets
    of the modalities believe at level :math:`l`, :func:`~pkdr_monai.baselines.uhved.subset_divergence`. The
    original's L2 penalty of the weights, 1e-5, is the optimiser's weight decay.

    The segmentation term is that of every method compared here (Eq. 8: binary cross-entropy and Dice, summed over three
    regions); the original has softmax cross-entropy and Dice of four classes, averaged, so :math:`L_{seg}` is larger
    here beside the other two. The weights are left as published.

    Args:
        reconstruction: weight of the images, 0 or more.
        divergence: weight of the divergence, 0 or more.

    Attributes:
        weights: the weight of each term, by name.
        parts: after a call, the value of each term computed, before its weight: scalars without gradient, by name.

    Raises:
        ValueError: when a weight is negative or not finite.

    Example:
        >>> student = {
        ...     "logits": torch.zeros(1, 3, 8, 8, 8),
        ...     "image": torch.ones(1, 4, 8, 8, 8),
        ...     "reconstruction": torch.zeros(1, 4, 8, 8, 8),
        ...     "subset": torch.tensor([True, False, False, False]),
        ...     **{f"posterior.{level}": torch.zeros(1, 4, 2, 8, 8, 8) for level in range(4)},
        ... }
        >>> loss = UHVEDLoss()
        >>> f"{loss({'student': student}, torch.ones(1, 3, 8, 8, 8)):.3f}"
        '2.810'
        >>> {name: f"{value:.3f}" for name, value in loss.parts.items()}
        {'segmentation': '2.679', 'reconstruction': '1.000', 'divergence': '0.309'}
    """

    def __init__(self, reconstruction: float = 0.1, divergence: float = 0.1) -> None:
        super().__init__({"segmentation": 1.0, "reconstruction": reconstruction, "divergence": divergence})
        check_weight("UHVEDLoss", reconstruction=reconstruction)
        check_weight("UHVEDLoss", divergence=divergence)

    def forward(self, prediction: Prediction, label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its parts in :attr:`parts`.

        Args:
            prediction: ``{"student": ...}`` with the tensors of :meth:`UHVED.features` and ``"image"``, the modalities
                that it saw, ``(B, M, X, Y, Z)``.
            label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing, or shapes do not fit.
        """
        return self.weighted_sum(
            {
                "segmentation": lambda: segmentation_loss(_student(prediction, "logits"), label),
                "reconstruction": lambda: _squared_error(prediction),
                "divergence": lambda: _mean_divergence(prediction),
            }
        )


def _student(prediction: Prediction, output: str) -> Tensor:
    return predicted("UHVEDLoss", prediction, "student", output)


def _squared_error(prediction: Prediction) -> Tensor:
    """Mean over batch, modalities and voxels."""
    reconstruction, image = _student(prediction, "reconstruction"), _student(prediction, "image")
    check_same_shape("UHVEDLoss", "Train with all modalities.", reconstruction=reconstruction, image=image)
    return F.mse_loss(at_least_float32(reconstruction), at_least_float32(image.detach()))


def _mean_divergence(prediction: Prediction) -> Tensor:
    """Mean over the levels."""
    subset = _student(prediction, "subset").tolist()
    levels = [_student(prediction, f"posterior.{level}") for level in range(LEVELS)]
    return torch.stack([subset_divergence(posterior, subset) for posterior in levels]).mean()
