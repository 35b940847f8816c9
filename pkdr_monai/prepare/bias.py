"""The bias field of a scanner's coils, found in the brain and divided out, by N4 (Tustison et al., IEEE TMI 2010)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pkdr_monai.data.geometry import voxel_sizes
from pkdr_monai.errors import InputError
from pkdr_monai.prepare.volume import Volume, itk_image, itk_voxels, one_thread, require_simpleitk

__all__ = ["METHOD", "Corrected", "correct_bias"]

COARSE_MM = 4.0  # voxels are thinned out to about this size: a bias field is smooth
ITERATIONS = (50, 50, 50)  # of 3 resolutions; a fourth took more of a tumour for bias
METHOD = "N4 within the brain; 3 resolutions of at most 50 iterations, voxels of about 4 mm; SimpleITK, one thread"


@dataclass(frozen=True)
class Corrected:
    """A brain without its bias field.

    Args:
        volume: the brain, float32.
        gain: the field that was divided out, in percentiles 1 and 99 of the brain; its geometric mean is 1.
    """

    volume: Volume
    gain: tuple[float, float]


def correct_bias(brain: Volume) -> Corrected:
    """Divide the bias field out of a brain; the same volume gives the same result.

    Args:
        brain: a volume that is 0 outside the brain.

    Raises:
        InputError: when SimpleITK is missing or fails.
    """
    sitk = require_simpleitk("--n4", "leave it out")
    inside = brain.voxels > 0  # the logarithm of the rest is not there
    image = itk_image(sitk, brain)
    mask = sitk.Cast(itk_image(sitk, Volume(inside, brain.affine)), sitk.sitkUInt8)
    shrinking = [
        max(1, min(round(COARSE_MM / size), side // 8))
        for size, side in zip(voxel_sizes(brain.affine), inside.shape, strict=True)
    ]
    try:
        with one_thread(sitk):
            method = sitk.N4BiasFieldCorrectionImageFilter()
            method.SetMaximumNumberOfIterations(ITERATIONS)
            method.Execute(sitk.Shrink(image, shrinking), sitk.Shrink(mask, shrinking))
            field = itk_voxels(sitk, method.GetLogBiasFieldAsImage(image))
    except RuntimeError as error:
        raise InputError(f"N4 failed: {str(error).splitlines()[-1].strip()}; leave --n4 out.") from error
    field = field.astype(np.float64) - field[inside].mean(dtype=np.float64)
    voxels = np.where(inside, brain.voxels / np.exp(field), brain.voxels).astype(np.float32)
    least, most = np.percentile(np.exp(field[inside]), [1, 99])
    return Corrected(Volume(voxels, brain.affine), (float(least), float(most)))
