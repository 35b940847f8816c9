"""MONAI's reader of NIfTI files, with the affine that :mod:`pkdr_monai.data.geometry` says counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import NibabelReader
from monai.utils import ensure_tuple

from pkdr_monai.data.geometry import corner_distance, is_same_grid, require_geometry
from pkdr_monai.data.headers import Header, describe_shape, read_header, read_voxels
from pkdr_monai.data.problems import UnreadableError
from pkdr_monai.errors import InputError

__all__ = ["ScanReader"]


class ScanReader(NibabelReader):
    """Read the files of one case as MONAI's ``NibabelReader`` does, with one geometry for all of them.

    MONAI's reader replaces the affine by the qform where the voxel sizes of the header contradict it, and stacks files
    only where their affines agree to a few micrometres. This one takes the affine that the checks take, refuses a
    header that states two, and lets the files of a case lie a tenth of a voxel apart: all get the affine of the first.
    Axes of length 1 after the third are left out.

    Args:
        geometry: which affine of the header to use, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

    Raises:
        InputError: when a file cannot be read, or lies on another grid than the first.
    """

    def __init__(self, geometry: str = "header") -> None:
        super().__init__()
        self.geometry = require_geometry(geometry)
        self._first: tuple[str, Header] | None = None

    def read(self, data: Sequence[Any] | Any, **kwargs: Any) -> Any:
        """Return a nibabel image of each file, or the image where there is one file."""
        self.filenames = ensure_tuple(data)
        images = [self._image(Path(name)) for name in self.filenames]
        return images if len(images) > 1 else images[0]

    def _image(self, path: Path) -> Any:
        try:
            header = read_header(path, self.geometry)
            affine = self._common_affine(path, header)
            image: Any = nib.load(path)
            if header.shape == image.shape and np.array_equal(affine, image.affine):
                return image
            return type(image)(read_voxels(path), affine, image.header)
        except UnreadableError as error:
            raise error.of(path) from error

    def _common_affine(self, path: Path, header: Header) -> np.ndarray:
        if self._first is None:
            self._first = str(path), header
            return header.affine
        name, first = self._first
        if header.shape[:3] != first.shape[:3]:
            sizes = describe_shape(header.shape[:3]), describe_shape(first.shape[:3])
            raise InputError(f"{path} has {sizes[0]} voxels, {name} has {sizes[1]}: resample one to the other.")
        if not is_same_grid(first.shape, header.affine, first.affine):
            away = corner_distance(first.shape, header.affine, first.affine)
            raise InputError(
                f"{path} has another affine than {name}: its voxels lie up to {away:.2g} mm off; "
                "resample one to the other, or repair its header."
            )
        return first.affine

    def _get_array_data(self, img: Any, filename: Any) -> np.ndarray:
        if not nib.is_proxy(img.dataobj):
            return np.asanyarray(img.dataobj)
        try:
            return read_voxels(Path(filename))
        except UnreadableError as error:
            raise error.of(filename) from error
