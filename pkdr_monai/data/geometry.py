"""Which affine of a NIfTI header to use, and whether two grids are one: the only place that decides either.

A NIfTI header can state where its voxels lie three times: as an affine (sform), as a rotation with voxel sizes (qform),
and as voxel sizes alone (pixdim). Programs differ in which they read, so a header whose statements differ is refused
until somebody chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nibabel as nib
import numpy as np

from pkdr_monai.data.problems import UnreadableError
from pkdr_monai.errors import InputError

__all__ = ["GEOMETRIES", "corner_distance", "counted_affine", "is_same_grid", "require_geometry", "voxel_sizes"]

GEOMETRIES = ("header", "sform", "qform", "pixdim")
"""What may be chosen to count. ``"header"``: the sform, else the qform, else the voxel sizes, where all agree."""

SIZE = 0.01  # part by which two statements of one voxel size may differ
ANGLE = 1.0  # degrees between the axes of sform and qform
SHIFT = 0.1  # of a voxel's edge, by which the corners of one grid may differ: programs round affines differently
CHOOSE = "write the right geometry into its header, or choose one with --geometry"


def require_geometry(geometry: str) -> str:
    """Return a choice of :data:`GEOMETRIES`, and refuse any other.

    Raises:
        InputError: when it is unknown.
    """
    if geometry not in GEOMETRIES:
        raise InputError(f"unknown geometry {geometry!r}: choose among {', '.join(GEOMETRIES)}.")
    return geometry


def counted_affine(header: nib.Nifti1Header, stored_sizes: Sequence[float], geometry: str = "header") -> np.ndarray:
    """Return the affine that counts.

    Args:
        header: header as nibabel reads it.
        stored_sizes: the three voxel sizes as the file stores them, since nibabel replaces 0 by 1; 0 states nothing.
        geometry: one of :data:`GEOMETRIES`. ``"pixdim"`` takes the sizes of pixdim and the axes of the sform or qform.

    Returns:
        Voxel index to position in mm, ``(4, 4)``. It may have no inverse.

    Raises:
        UnreadableError: when the header states two geometries that differ in voxel size by more than 1 % or in axes by
            more than 1 degree, states none, or does not state the chosen one.

    Example:
        >>> header = nib.Nifti1Header()
        >>> header.set_sform(np.diag([2.0, 2.0, 2.0, 1.0]), code=1)
        >>> counted_affine(header, (1.0, 1.0, 1.0), "sform")[0].tolist()
        [2.0, 0.0, 0.0, 0.0]
    """
    sizes = np.abs(np.nan_to_num(np.asarray(stored_sizes, dtype=float), posinf=0, neginf=0))
    forms = _forms(header)
    counted = next(iter(forms.values()), None)
    if geometry in forms:
        return forms[geometry]
    if geometry in ("sform", "qform"):
        stated = [*forms, *(["pixdim"] if (sizes > 0).all() else [])]
        raise UnreadableError(f"its header states no {geometry}", f"choose --geometry {' or '.join(stated)}")
    if counted is None or geometry == "pixdim":
        if not (sizes > 0).all():
            raise UnreadableError("its header states no voxel size (pixdim is 0)", "write its voxel size, in mm")
        return _resized(header.get_base_affine() if counted is None else counted, sizes)
    if _is_invertible(counted):
        _refuse_contradiction(forms, sizes)
    return counted


def voxel_sizes(affine: np.ndarray) -> np.ndarray:
    """Return the three voxel sizes of an affine, mm."""
    return np.linalg.norm(np.asarray(affine, dtype=float)[:3, :3], axis=0)


def is_same_grid(shape: Sequence[int], here: np.ndarray, there: np.ndarray) -> bool:
    """Return whether two affines place the voxels of one shape alike, up to a tenth of a voxel at the corners.

    Example:
        >>> moved = np.eye(4)
        >>> moved[0, 3] = 0.05
        >>> is_same_grid((9, 9, 9), np.eye(4), moved), is_same_grid((9, 9, 9), np.eye(4), 2 * moved)
        (True, False)
    """
    edge = float(abs(np.linalg.det(there[:3, :3]))) ** (1 / 3)
    return bool(np.allclose(here, there)) or corner_distance(shape, here, there) < SHIFT * edge


def corner_distance(shape: Sequence[int], here: np.ndarray, there: np.ndarray) -> float:
    """Return how far apart two affines place the corners of one grid, at most, in mm."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape[:3]) - 1)  # (8, 3)
    shift = np.column_stack([corners, np.ones(8)]) @ (here - there).T  # (8, 4)
    return float(np.linalg.norm(shift[:, :3], axis=1).max())


def _forms(header: Any) -> dict[str, np.ndarray]:
    """Return the affines that a header states by a code above 0, the one that counts first."""
    forms = {}
    if int(header["sform_code"]) > 0:
        forms["sform"] = np.asarray(header.get_sform(), dtype=float)
    if int(header["qform_code"]) > 0:
        try:
            forms["qform"] = np.asarray(header.get_qform(), dtype=float)
        except (nib.spatialimages.HeaderDataError, ValueError) as error:
            if not forms:
                raise UnreadableError(f"its qform is invalid ({error})", "write it with a valid affine") from error
    return forms


def _resized(affine: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    resized = np.array(affine, dtype=float)
    resized[:3, :3] *= sizes / voxel_sizes(affine)
    return resized


def _refuse_contradiction(forms: dict[str, np.ndarray], sizes: np.ndarray) -> None:
    """Compare the affine that counts with the voxel sizes and, where there is one, with the other affine."""
    (name, counted), *others = forms.items()
    own = voxel_sizes(counted)
    stated = sizes > 0
    said = f"{name} {_describe(counted)}"
    if (np.abs(own - sizes)[stated] > SIZE * own[stated]).any():
        what = f"voxel size (pixdim) {_millimetres(sizes)}"
        raise UnreadableError(f"its header states two geometries: {said}; {what}", f"{CHOOSE} {name} or pixdim")
    for other, affine in others:
        angle = _angle(counted, affine)
        if _is_invertible(affine) and not angle <= ANGLE:
            turned = "of opposite handedness" if np.isinf(angle) else f"{angle:.0f} degrees apart"
            what = f"its header states two geometries: {said}; {other} {_describe(affine)}, {turned}"
            raise UnreadableError(what, f"{CHOOSE} {name} or {other}")


def _angle(here: np.ndarray, there: np.ndarray) -> float:
    """Return the degrees between the axes of two affines, shears left out; infinity for opposite handedness."""
    turn = _rotation(here).T @ _rotation(there)
    if np.linalg.det(turn) < 0:
        return float("inf")
    return float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


def _rotation(affine: np.ndarray) -> np.ndarray:
    """Return the orthogonal matrix nearest to the axes, which is all of them that a qform can hold."""
    axes = affine[:3, :3] / np.maximum(voxel_sizes(affine), np.finfo(float).tiny)
    left, _, right = np.linalg.svd(np.nan_to_num(axes))
    return left @ right


def _is_invertible(affine: np.ndarray) -> bool:
    return bool(np.isfinite(affine).all()) and abs(float(np.linalg.det(affine[:3, :3]))) >= 1e-9


def _describe(affine: np.ndarray) -> str:
    return f"{_millimetres(voxel_sizes(affine))}, axes {''.join(map(str, nib.aff2axcodes(affine)))}"


def _millimetres(sizes: np.ndarray) -> str:
    return f"{'x'.join(f'{size:.4g}' for size in sizes)} mm"
