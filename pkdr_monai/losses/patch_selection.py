"""Eq. 1 to 4: which patches of the crop hold tumour, asked of the encoder's output."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import check_same_shape, plain
from pkdr_monai.losses.segmentation import DiceForm, check_dice_form, segmentation_loss

__all__ = ["LARGEST_PATCH", "PatchSelectionLoss", "check_patch_size", "patch_labels", "patch_selection_loss"]

LARGEST_PATCH = 40.0  # mm; the paper's patch is 16 mm, and 40 mm hold a whole tumour core


def patch_labels(label: Tensor, patch_size: int) -> Tensor:
    """Return for each patch whether it holds any voxel of each region.

    A patch is positive if a single voxel of it is (Eq. 1), so its label is the maximum over its voxels. One pooling
    computes all patches, without a loop and without waiting for the device.

    Args:
        label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``.
        patch_size: side P of a cubic patch, in voxels. Where P does not divide a side, the last patch is the part left.

    Returns:
        Patch labels, ``(B, C, ceil(X / P), ceil(Y / P), ceil(Z / P))``, float32 unless ``label`` has another
        floating dtype.

    Raises:
        ValueError: when ``label`` has not five dimensions, or ``patch_size`` is not a whole number above 0.

    Example:
        >>> label = torch.zeros(1, 1, 32, 16, 24)
        >>> label[0, 0, 20, 3, 23] = 1  # the only tumour voxel
        >>> patch_labels(label, patch_size=16)[0, 0, :, 0]
        tensor([[0., 0.],
                [0., 1.]])
    """
    check_patch_size("patch_labels", patch_size)
    if label.ndim != 5:
        raise ValueError(f"patch_labels expects a label of shape (B, C, X, Y, Z), but it is {tuple(label.shape)}.")
    label = plain(label).detach()
    if not label.is_floating_point():
        label = label.to(torch.float32)
    return F.max_pool3d(label, patch_size, ceil_mode=True)


class PatchSelectionLoss(_Loss):
    r"""Make the encoder say which patches hold tumour, before any voxel is segmented.

    The patch-selection head gives one logit :math:`u_{cp}` for each region :math:`c` and patch :math:`p`. The loss is
    binary cross-entropy plus Dice (Eq. 4, the sum of Eq. 2 and 3) between it and the patch label :math:`y_{cp}`, which
    is 1 where the patch holds any voxel of the region (Eq. 1):

    .. math::
        L_{ps} = \sum_c \Big[ \frac{1}{N} \sum_p \mathrm{BCE}(\sigma(u_{cp}), y_{cp}) + 1 - \mathrm{Dice}_c \Big]

    The reductions and the Dice are those of :class:`~pkdr_monai.losses.SegmentationLoss`. The paper does not give the
    size of a patch: it is read as the total stride of the encoder, so that one vector of its output is one patch.

    Args:
        patch_size: side of a cubic patch in voxels, the stride of the network's encoder.
        dice: ``"soft"``, ``"hard"`` or ``"straight_through"``, as in the segmentation loss.

    Raises:
        ValueError: when an argument is none of these.

    Example:
        >>> label = torch.zeros(1, 3, 32, 32, 32)
        >>> label[:, :, :5, :5, :5] = 1  # inside the first of 8 patches
        >>> logits = torch.full((1, 3, 2, 2, 2), -9.0)
        >>> logits[:, :, 0, 0, 0] = 9.0
        >>> loss = PatchSelectionLoss(patch_size=16)
        >>> f"right {loss(logits, label):.2f}, wrong {loss(-logits, label):.2f}"
        'right 0.00, wrong 30.00'
    """

    def __init__(self, patch_size: int = 16, dice: DiceForm = "soft") -> None:
        super().__init__()
        self.patch_size = check_patch_size("PatchSelectionLoss", patch_size)
        self.dice = check_dice_form("PatchSelectionLoss", dice)

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        return f"patch_size={self.patch_size}, dice={self.dice!r}"

    def forward(self, patch_logits: Tensor, label: Tensor, patch_label: Tensor | None = None) -> Tensor:
        """Return the loss, a scalar.

        Args:
            patch_logits: output of the patch-selection head before the sigmoid, ``(B, C, X/P, Y/P, Z/P)``.
            label: label of the voxels, ``(B, C, X, Y, Z)``.
            patch_label: what :func:`patch_labels` makes of ``label``, where the caller has it already.

        Raises:
            ValueError: when the shapes do not fit.
        """
        if patch_label is None:
            patch_label = patch_labels(label, self.patch_size)
        return patch_selection_loss(patch_logits, patch_label, self.dice)


def patch_selection_loss(patch_logits: Tensor, patch_label: Tensor, dice: DiceForm = "soft") -> Tensor:
    """Compare patch logits with labels that :func:`patch_labels` has made; see :class:`PatchSelectionLoss`.

    Raises:
        ValueError: when the shapes differ, most often because the patch size is not the stride of the encoder.
    """
    remedy = "The patch size has to be the stride of the encoder."
    check_same_shape("PatchSelectionLoss", remedy, patch_logits=patch_logits, patch_label=patch_label)
    return segmentation_loss(patch_logits, patch_label, dice)


def check_patch_size(loss: str, patch_size: int) -> int:
    """Return ``patch_size`` if it is a whole number above 0.

    Raises:
        ValueError: when it is not.
    """
    if not isinstance(patch_size, int) or isinstance(patch_size, bool) or patch_size < 1:
        raise ValueError(f"{loss} expects patch_size to be a whole number above 0, but it is {patch_size!r}.")
    return patch_size
