"""All modalities of a patient on one grid: rigidly registered where they are not, with the transforms kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pkdr_monai.data.geometry import is_same_grid, voxel_sizes
from pkdr_monai.errors import InputError
from pkdr_monai.prepare.volume import LPS, Volume, itk_image, itk_voxels, one_thread, require_simpleitk

__all__ = ["METHOD", "OneGrid", "Registration", "bring_to_one_grid", "register", "resample"]

METHOD = "rigid, 6 degrees of freedom; Mattes mutual information, 50 bins; 3 resolutions; SimpleITK, one thread"
BINS, SAMPLED, SEED = 50, 0.25, 1
SHRINKING, SMOOTHING = (4, 2, 1), (2.0, 1.0, 0.0)  # voxels, and mm
FEWEST_VOXELS = 16  # along an axis that is shrunk
LARGEST_SHIFT, LARGEST_ANGLE = 60.0, 35.0  # mm and degrees; beyond, something else was found than how a head moved


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


@dataclass(frozen=True)
class Registration:
    """Where a volume lies in another's space.

    Args:
        matrix: position in the fixed volume to position in the moving one, mm, RAS, ``(4, 4)``.
        transform: the same as SimpleITK's transform, which maps points in LPS from fixed to moving.
        metric: mutual information that was reached, the lower the better.
    """

    matrix: np.ndarray
    transform: Any
    metric: float

    def write(self, path: Path) -> None:
        """Write the transform as ITK's ``.tfm``.

        Raises:
            InputError: when it cannot be written.
        """
        try:
            _simpleitk().WriteTransform(self.transform, str(path))
        except RuntimeError as error:
            raise InputError(f"cannot write {path}: check the disk and --output.") from error


def register(fixed: Volume, moving: Volume) -> Registration:
    """Find the rigid motion between two volumes of one head, of any modalities.

    It begins where the scanner placed both, or with their centres of mass on each other if that fits better. The same
    volumes give the same result.

    Args:
        fixed: the volume whose space counts.
        moving: the other one.

    Raises:
        InputError: when SimpleITK is missing, fails, or finds a motion that no head makes.
    """
    sitk = _simpleitk()
    there, here = itk_image(sitk, fixed), itk_image(sitk, moving)
    with one_thread(sitk):
        found = _register(sitk, there, here)
    _refuse_implausible(found.matrix, fixed)
    return found


def _simpleitk() -> ModuleType:
    need = "the series lie on different grids, and registering them"
    return require_simpleitk(need, "name one series, such as --flair SERIES")


def _register(sitk: ModuleType, there: Any, here: Any) -> Registration:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(SAMPLED, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, 300, gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    smallest = min(there.GetSize())
    levels = [
        (by, mm) for by, mm in zip(SHRINKING, SMOOTHING, strict=True) if smallest // by >= FEWEST_VOXELS or by == 1
    ]
    method.SetShrinkFactorsPerLevel([by for by, _ in levels])
    method.SetSmoothingSigmasPerLevel([mm for _, mm in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    try:
        start = _start(sitk, method, there, here)
        method.SetInitialTransform(start, inPlace=True)
        method.Execute(there, here)
        return Registration(_matrix(start), start, float(method.GetMetricValue()))
    except RuntimeError as error:
        raise InputError(f"registration failed: {str(error).splitlines()[-1].strip()}") from error


def resample(moving: Volume, fixed: Volume, found: Registration) -> Volume:
    """Return the moving volume on the grid of the fixed one, linearly interpolated, 0 outside, float32."""
    sitk = _simpleitk()
    image = sitk.Resample(
        itk_image(sitk, moving), itk_image(sitk, fixed), found.transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
    return Volume(itk_voxels(sitk, image), fixed.affine)


def _start(sitk: ModuleType, method: Any, fixed: Any, moving: Any) -> Any:
    """Return the better of two places to begin: as the scanner placed them, or with their centres of mass together."""
    by_mass = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    by_mass = sitk.Euler3DTransform(by_mass)
    by_scanner = sitk.Euler3DTransform()
    by_scanner.SetCenter(by_mass.GetCenter())
    values = []
    for start in (by_scanner, by_mass):
        method.SetInitialTransform(start, inPlace=False)
        values.append(method.MetricEvaluate(fixed, moving))
    return by_scanner if values[0] <= values[1] else by_mass


def _matrix(transform: Any) -> np.ndarray:
    turn, centre = np.array(transform.GetMatrix()).reshape(3, 3), np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = turn
    matrix[:3, 3] = centre + np.array(transform.GetTranslation()) - turn @ centre
    return np.asarray(LPS @ matrix @ LPS)


def _refuse_implausible(matrix: np.ndarray, fixed: Volume) -> None:
    angle = float(np.degrees(np.arccos(np.clip((np.trace(matrix[:3, :3]) - 1) / 2, -1, 1))))
    centre = fixed.affine @ [*(np.array(fixed.voxels.shape) / 2), 1]
    shift = float(np.linalg.norm((matrix @ centre - centre)[:3]))
    if angle > LARGEST_ANGLE or shift > LARGEST_SHIFT:
        raise InputError(
            f"registration found a motion of {shift:.0f} mm and {angle:.0f} degrees, which is no head's: name one "
            "series, or register them with another program."
        )
