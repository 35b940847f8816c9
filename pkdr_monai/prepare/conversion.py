"""One DICOM series as a volume: dcm2niix converts, and nothing but voxels and geometry is taken from what it writes."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write
from pkdr_monai.prepare.dicom_files import require_extra
from pkdr_monai.prepare.series import Series

__all__ = ["Volume", "convert_series", "converter_version", "write_volume"]

COMPRESSION = 3
OPTIONS = ("-f", "volume", "-b", "n", "-z", "n", "-x", "n")  # neither sidecar nor compression nor cropping
NOTE = b"PKDR; research software, not a medical device"


@dataclass(frozen=True)
class Volume:
    """Voxels and where they lie.

    Args:
        voxels: ``(X, Y, Z)``.
        affine: voxel index to position in mm, ``(4, 4)``.
    """

    voxels: np.ndarray
    affine: np.ndarray


def convert_series(series: Series, scratch: Path) -> Volume:
    """Convert one series with dcm2niix.

    Its files are linked under numbers into a folder of their own, so that dcm2niix sees no other series, and what it
    prints, which may name the patient, goes nowhere.

    Args:
        series: the series.
        scratch: an existing folder for temporary files.

    Raises:
        InputError: when dcm2niix fails, or makes more or fewer images of the series than one.
    """
    require_extra()
    import dcm2niix

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        source, target = Path(folder, "dicom"), Path(folder, "nifti")
        source.mkdir()
        target.mkdir()
        for number, path in enumerate(series.files):
            _link(path.absolute(), source / f"{number:06d}.dcm")
        words = [dcm2niix.bin, *OPTIONS, "-o", str(target), str(source)]
        ran = subprocess.run(words, capture_output=True, check=False)
        made = sorted(target.glob("*.nii"))
        if len(made) != 1:
            raise InputError(
                f"dcm2niix made {len(made)} images of {series.title} (exit code {ran.returncode}), expected one: "
                "name another series, or convert this one by hand and give its NIfTI file."
            )
        return _read(made[0], series)


def _read(path: Path, series: Series) -> Volume:
    try:
        header, voxels = read_header(path), read_voxels(path)
    except UnreadableError as error:
        raise InputError(f"dcm2niix made no sound image of {series.title}: {error.what}.") from error
    if len(header.shape) != 3 or header.shape[2] < 2:
        shape = ", ".join(map(str, header.shape))
        raise InputError(f"{series.title} becomes an image of shape ({shape}), expected one 3-D volume: name another.")
    if header.shape[2] != series.facts.slices:
        raise InputError(
            f"{series.title} has {series.facts.slices} slices, of which dcm2niix took "
            f"{header.shape[2]}: export it again."
        )
    if voxels.dtype.kind == "f":
        voxels = voxels.astype(np.float32)
    return Volume(np.asarray(voxels), header.affine)


def converter_version() -> str:
    """Return the version of dcm2niix."""
    require_extra()
    import dcm2niix

    printed = subprocess.run([dcm2niix.bin, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v\d\.\d\.\d+", printed)
    return found[0] if found else str(dcm2niix.__version__)


def write_volume(path: Path, volume: Volume) -> None:
    """Write a volume as ``.nii.gz``, the same bytes for the same content, atomically.

    Raises:
        InputError: when it cannot be written.
    """
    image = nib.Nifti1Image(volume.voxels, volume.affine, dtype=volume.voxels.dtype)
    image.set_qform(volume.affine, code=1)
    image.set_sform(volume.affine, code=1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = NOTE
    try:
        with atomic_write(path) as file:
            file.write(gzip.compress(image.to_bytes(), COMPRESSION, mtime=0))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}; check the disk and --output.") from error


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # a file system, or a Windows user, without symbolic links
        shutil.copyfile(source, target)
