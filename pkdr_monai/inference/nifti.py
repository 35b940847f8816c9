"""Write volumes on the grid of another file, or on those that registered images had before."""

from __future__ import annotations

import gzip
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor, NibabelWriter
from monai.transforms import MapTransform, SaveImage
from monai.utils import get_equivalent_dtype

from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write, read_object
from pkdr_monai.regions import regions_to_label

__all__ = [
    "PREPARED",
    "OriginalGrid",
    "SaveLabelMapd",
    "SourceGridWriter",
    "label_on",
    "original_grids",
    "write_like",
    "write_nifti",
]

COMPRESSION = 3  # higher levels take several times as long for a few percent
GEOMETRY = (
    *("pixdim", "xyzt_units", "qform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "sform_code", "srow_x", "srow_y", "srow_z"),
)
NOTE = b"PKDR; research software, not a medical device"
PREPARED = "prepare.json"
"""What ``pkdr prepare`` did to the scan of a folder."""


def write_like(path: Path, volume: np.ndarray, source: Path, affine: np.ndarray | None = None) -> None:
    """Write a volume with the geometry of a source file, as ``.nii.gz`` or ``.nii``, atomically.

    Orientation, spacing and both affines are copied; the header's free text, which may name a patient, is not.

    Args:
        path: file to write.
        volume: ``(X, Y, Z)``, or ``(X, Y, Z, C)``, in the type to store.
        source: NIfTI file whose grid has ``(X, Y, Z)`` voxels.
        affine: the affine that counts, ``(4, 4)``; where the source's header has another, both affines are this one.
    """
    geometry: Any = nib.load(source).header
    header = nib.Nifti1Header()
    for name in GEOMETRY:
        header[name] = geometry[name]
    header.set_data_shape(volume.shape)
    header.set_data_dtype(volume.dtype)
    header["pixdim"][4:] = 1
    header["descrip"] = NOTE
    if affine is not None and not _states(geometry, affine):
        header.set_qform(affine, code=1)
        header.set_sform(affine, code=1)
    image = nib.Nifti1Image(volume, None, header)  # without an affine of its own, it has the header's
    content = image.to_bytes()
    with atomic_write(path) as file:
        file.write(gzip.compress(content, COMPRESSION, mtime=0) if path.suffix.lower() == ".gz" else content)


def write_nifti(path: Path, volume: np.ndarray, affine: Sequence[Sequence[float]] | np.ndarray) -> None:
    """Write a volume as ``.nii.gz``, atomically; the same content gives the same bytes.

    Args:
        path: file to write.
        volume: ``(X, Y, Z)``, in the type to store.
        affine: voxel index to position in mm, ``(4, 4)``.
    """
    image: Any = nib.Nifti1Image(volume, np.asarray(affine), dtype=volume.dtype)
    image.set_qform(np.asarray(affine), code=1)
    image.set_sform(np.asarray(affine), code=1)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = NOTE
    with atomic_write(path) as file:
        file.write(gzip.compress(image.to_bytes(), COMPRESSION, mtime=0))


class SourceGridWriter(NibabelWriter):
    """Write what MONAI's ``SaveImaged`` hands over with the header of the file it was computed from.

    MONAI's own writer stores the affine alone. Programs that place a header without codes by other rules than nibabel
    would then show the result beside its image.
    """

    source: Path | None = None

    def set_metadata(self, meta_dict: Mapping[str, Any] | None = None, resample: bool = True, **options: Any) -> None:
        """Note the file that the volume was computed from."""
        super().set_metadata(meta_dict, resample, **options)
        name = (meta_dict or {}).get("filename_or_obj")
        path = Path(name) if isinstance(name, str) else None
        self.source = path if path is not None and path.is_file() else None

    def write(self, filename: Any, verbose: bool = False, **options: Any) -> None:
        """Write the volume to a file."""
        volume = np.asarray(self.data_obj)
        image: Any = None if self.source is None else nib.load(self.source)
        if self.source is None or image.shape[:3] != volume.shape[:3]:
            super().write(filename, verbose, **options)
        else:
            write_like(
                Path(filename),
                volume.astype(get_equivalent_dtype(self.output_dtype, np.ndarray)),
                self.source,
                np.asarray(self.affine),
            )


class SaveLabelMapd(MapTransform):
    """Write the regions of a case as a label map, named as ``pkdr predict`` names it; the entry stays as it is.

    The file is ``<output_dir>/<case>/<case>_seg.nii.gz``, on the grid of the case's first image. What an earlier
    evaluation wrote there is replaced.

    Args:
        keys: keys of binary regions TC, WT, ET, ``(3, X, Y, Z)``.
        output_dir: folder to write to.
        dataset_dir: the data set's folder, in which nothing is written.
        label_scheme: scheme of the label values.
        allow_missing_keys: leave entries without the key as they are.

    Raises:
        InputError: when one of the folders lies in the other.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str | Path,
        dataset_dir: str | Path,
        label_scheme: str = "brats2018",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        output, data = Path(str(output_dir)).resolve(), Path(str(dataset_dir)).resolve()
        if output.is_relative_to(data) or data.is_relative_to(output):
            raise InputError(
                f"predictions would be written to {output_dir}, beside the files of the data set in {dataset_dir}: "
                "choose another --prediction_dir, outside of it and not around it."
            )
        self.output_dir, self.label_scheme = output, label_scheme
        self.save = SaveImage(
            writer=SourceGridWriter, output_dtype=np.uint8, resample=False, output_ext=".nii.gz", print_log=False
        )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the entry as it is."""
        for key in self.key_iterator(data):
            regions = data[key]
            label = regions_to_label(regions.as_tensor(), self.label_scheme)
            case = str(data["case"])
            folder = self.output_dir / case
            folder.mkdir(parents=True, exist_ok=True)
            self.save(MetaTensor(label, meta=regions.meta), filename=str(folder / f"{case}_seg"))
        return dict(data)


def _states(header: Any, affine: np.ndarray) -> bool:
    """Say whether a header states this affine, and voxel sizes that agree with it."""
    sizes = np.abs(np.asarray(header.get_zooms()[:3], dtype=float))
    own = np.linalg.norm(affine[:3, :3], axis=0)
    return np.allclose(header.get_best_affine(), affine, atol=1e-2) and np.allclose(sizes, own, rtol=1e-2)


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
