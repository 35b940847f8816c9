"""All modalities of a patient on one grid: as they are where they share it, registered where they do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pkdr_monai.data.geometry import is_same_grid, voxel_sizes
from pkdr_monai.prepare.conversion import Volume
from pkdr_monai.prepare.registration import Registration, register, resample

__all__ = ["OneGrid", "bring_to_one_grid"]


@dataclass(frozen=True)
class OneGrid:
    """Volumes on one grid.

    Args:
        reference: the modality whose grid it is.
        volumes: all volumes, by modality.
        registered: how each volume that lay on another grid was moved.
    """

    reference: str
    volumes: Mapping[str, Volume]
    registered: Mapping[str, Registration]


def bring_to_one_grid(volumes: Mapping[str, Volume], log: Callable[[str], None] = lambda line: None) -> OneGrid:
    """Register the volumes that lie on another grid than the reference, which has the smallest voxels.

    Volumes on the reference's grid are taken as they are: that the head did not move between them is not checked.

    Args:
        volumes: volumes of one patient, by modality.
        log: called with each line for people.

    Raises:
        InputError: when they lie on different grids, and registration is not possible.
    """
    reference = min(volumes, key=lambda modality: float(np.prod(voxel_sizes(volumes[modality].affine)).round(3)))
    fixed, moved, found = volumes[reference], {}, {}
    for modality, volume in volumes.items():
        if _share_a_grid(volume, fixed):
            moved[modality] = volume
            continue
        found[modality] = register(fixed, volume)
        moved[modality] = resample(volume, fixed, found[modality])
        log(f"{modality} lies on another grid than {reference}: registered to it, rigidly; look at the result")
    return OneGrid(reference, moved, found)


def _share_a_grid(here: Volume, there: Volume) -> bool:
    same_shape = here.voxels.shape == there.voxels.shape
    return same_shape and is_same_grid(there.voxels.shape, here.affine, there.affine)
