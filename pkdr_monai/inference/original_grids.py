"""The label map of a prepared scan on the grids that its registered images had before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_object

__all__ = ["PREPARED", "OriginalGrid", "label_on", "original_grids"]

PREPARED = "prepare.json"
"""What ``pkdr prepare`` did to the scan of a folder."""


@dataclass(frozen=True)
class OriginalGrid:
    """Where an image lay before it was registered.

    Args:
        shape: its voxels.
        affine: voxel index to position in mm, ``(4, 4)``.
        to_moving: position in the reference to position in the image, mm, ``(4, 4)``.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    to_moving: np.ndarray


def original_grids(folder: Path) -> dict[str, OriginalGrid]:
    """Return the grids of the images of a folder that were registered, by modality; none where nothing was prepared.

    Raises:
        InputError: when ``prepare.json`` is there and says nothing sound.
    """
    path = folder / PREPARED
    if not path.is_file():
        return {}
    moved: Mapping[str, Any] = (read_object(path).get("registration") or {}).get("moved", {})
    try:
        return {
            modality: OriginalGrid(
                shape=(int(one["shape"][0]), int(one["shape"][1]), int(one["shape"][2])),
                affine=np.array(one["affine"], dtype=float).reshape(4, 4),
                to_moving=np.array(one["matrix"], dtype=float).reshape(4, 4),
            )
            for modality, one in moved.items()
        }
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path} is damaged ({error}): run pkdr prepare again.") from error


def label_on(grid: OriginalGrid, label: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return a label map on another grid, each voxel that of the nearest one, 0 outside.

    Args:
        grid: the grid to fill.
        label: label map on the reference's grid, ``(X, Y, Z)``.
        affine: its affine.

    Returns:
        Label map of ``grid.shape``, in the type of ``label``.
    """
    to_label = np.linalg.inv(affine) @ np.linalg.inv(grid.to_moving) @ grid.affine
    found = np.zeros(grid.shape, label.dtype)
    columns = np.stack(np.meshgrid(np.arange(grid.shape[0]), np.arange(grid.shape[1]), indexing="ij"), axis=-1)
    for z in range(grid.shape[2]):  # a slice at a time, to save memory
        index = np.rint(columns @ to_label[:3, :2].T + z * to_label[:3, 2] + to_label[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < label.shape)).all(axis=-1)
        found[..., z][inside] = label[tuple(index[inside].T)]
    return found
