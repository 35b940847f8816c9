"""The ET rule of the field: an enhancing tumour that is predicted very small counts as necrosis."""

from __future__ import annotations

import torch

from pkdr_monai.errors import InputError

__all__ = ["check_et_rule", "small_et_to_necrosis"]

ROUNDING = 1e-6  # relative; affines are stored as float32, so that 500 voxels of 1 mm may have 499.9999 mm³


def check_et_rule(et_rule: float) -> None:
    """Refuse a threshold that is no volume.

    Raises:
        InputError: when it is below 0 or not a number.
    """
    if not et_rule >= 0:
        raise InputError(f"et_rule is a volume in mm³, 0 or more, got {et_rule:g}: 500 is usual, 0 switches it off.")


def small_et_to_necrosis(regions: torch.Tensor, et_rule: float, voxel_volume: float) -> torch.Tensor:
    """Empty a predicted ET that is smaller than a volume; its voxels stay in TC and WT, as necrosis.

    The volume is that of all voxels of ET together. The rule is for predictions: a truth is left as it is.

    Args:
        regions: TC, WT and ET, nested, ``(3, X, Y, Z)``.
        et_rule: smallest volume in mm³ that ET keeps; 0 keeps every ET.
        voxel_volume: volume of a voxel in mm³.

    Returns:
        Regions of the same shape and dtype; the same tensor where nothing changes.

    Example:
        >>> regions = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]]).reshape(3, 3, 1, 1)
        >>> small_et_to_necrosis(regions, et_rule=2, voxel_volume=1)[:, :, 0, 0].tolist()
        [[1, 1, 0], [1, 1, 1], [0, 0, 0]]
    """
    volume = int((regions[2] > 0).sum()) * voxel_volume
    if not 0 < volume < et_rule * (1 - ROUNDING):
        return regions
    tc, wt, et = regions
    return torch.stack([tc, wt, torch.zeros_like(et)])
