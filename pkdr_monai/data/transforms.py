"""The few transforms that MONAI lacks: loading in threads, choosing channels, and labels to regions and back."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor, NibabelReader
from monai.data.utils import zoom_affine
from monai.transforms import LoadImaged, MapTransform, Spacingd
from monai.transforms.traits import ThreadUnsafe

from pkdr_monai.data.geometry import require_geometry
from pkdr_monai.data.reader import ScanReader
from pkdr_monai.data.voxels import image_findings
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES, channel_indices
from pkdr_monai.regions import (
    REGIONS,
    check_et_rule,
    label_to_regions,
    nested_regions,
    regions_to_label,
    rounded_labels,
    small_et_to_necrosis,
)

__all__ = [
    "CheckScand",
    "ETRuled",
    "LabelToRegionsd",
    "LoadImagesd",
    "LoadModalitiesd",
    "NestedRegionsd",
    "RegionsToLabeld",
    "SelectChannelsd",
    "SteadySpacingd",
]

LABELS = ("label", "truth")  # keys under which the bundle's configs load label maps
ROUNDING = 1e-4  # of a modality's maximum, which the last digits of a header do not reach
HALF_A_VOXEL = 0.5 + 1e-2  # rounded down, whatever those digits are

logger = logging.getLogger(__name__)

Data = Mapping[Hashable, Any]


class LoadModalitiesd(LoadImaged, ThreadUnsafe):
    """Load images and label maps as MONAI's ``LoadImaged`` does, and keep every modality when threads fill a cache.

    MONAI 1.6.1's ``NibabelReader`` remembers the files of its last ``read`` and pairs them with the images in
    ``get_data``. Two threads that share it, as those of a ``CacheDataset`` do, can pair four images with the one file
    of a label map, and three modalities vanish silently. A transform marked ``ThreadUnsafe`` is copied for each
    thread instead. Label maps, under ``"label"`` or ``"truth"``, are rounded to whole numbers, see
    :func:`pkdr_monai.regions.whole_labels`.

    Files are read by :class:`~pkdr_monai.data.reader.ScanReader`: with the affine that the checks take, all on one
    grid. An entry's ``geometry`` says which affine of its headers to use.

    Args:
        keys: keys of files.
        ensure_channel_first: put a channel first.
        allow_missing_keys: leave entries without the key as they are.

    Raises:
        InputError: when a file cannot be read, states two geometries or lies on another grid, with its case.
    """

    geometry = "header"

    def __init__(
        self, keys: KeysCollection, ensure_channel_first: bool = False, allow_missing_keys: bool = False
    ) -> None:
        with _without_notice_of_dicom():
            super().__init__(
                keys, NibabelReader, ensure_channel_first=ensure_channel_first, allow_missing_keys=allow_missing_keys
            )

    def __call__(self, data: Data, reader: ImageReader | None = None) -> dict[Hashable, Any]:
        """Return the entry with images in place of their files."""
        geometry = str(data.get("geometry", self.geometry))
        try:
            entry = super().__call__(data, ScanReader(geometry) if reader is None else reader)
            for key in self.key_iterator(entry):
                if key in LABELS:  # here, because the next step may make uint8 of 3.9999998, which would be 3
                    entry[key] = _with_metadata_of(entry[key], rounded_labels(_plain(entry[key])))
            return entry
        except Exception as error:  # whatever a reader meets in a broken file
            what = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise InputError(f"case {data.get('case', 'without a name')}: {what}.") from error


class LoadImagesd(LoadModalitiesd):
    """Load as :class:`LoadModalitiesd` does, for inference.json.

    MONAI Deploy, which hands over images of its own, drops transforms that have "LoadImage" in their name.

    Args:
        keys: keys of files.
        geometry: which affine of the header to use, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.
        allow_missing_keys: leave entries without the key as they are.
    """

    def __init__(self, keys: KeysCollection, geometry: str = "header", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys=allow_missing_keys)
        self.geometry = require_geometry(geometry)


class CheckScand(MapTransform):
    """Refuse an image that a network would segment into nonsense, as ``pkdr data check`` and ``pkdr predict`` do.

    Args:
        keys: keys of channel-first images, ``(M, X, Y, Z)``, as they were loaded.
        force: log what a person may insist on, such as an image with its skull, instead of refusing it.
        allow_missing_keys: leave entries without the key as they are.

    Raises:
        InputError: with the first thing that is wrong.
    """

    def __init__(self, keys: KeysCollection, force: bool = False, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.force = force

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the entry as it is."""
        for key in self.key_iterator(data):
            image = data[key]
            affine = image.affine.cpu().numpy() if isinstance(image, MetaTensor) else np.eye(4)
            for channel in _plain(image):
                for finding in image_findings(channel.cpu().numpy(), affine):
                    name = data.get("case") or getattr(image, "meta", {}).get("filename_or_obj") or "without a name"
                    sentence = f"case {name}: the image {finding.what}; {finding.fix}"
                    if not (self.force and finding.forcible):
                        insist = ", or insist with --force True" if finding.forcible else ""
                        raise InputError(f"{sentence}{insist}.")
                    logger.warning("%s; segmented because of force.", sentence)
        return dict(data)


class SelectChannelsd(MapTransform):
    """Keep, of a file that holds several modalities, the channels that its data-list entry names.

    An entry without ``channels`` came from one file a modality and is left as it is. Tools that hand over files of
    their own, such as MONAI Label, name no channels: for them, ``modalities`` says what to keep of an image that holds
    all four. The channel -1 is a modality that the case lacks: a channel of zeros.

    Args:
        keys: keys of channel-first images, ``(M, X, Y, Z)``.
        modalities: what to keep, in an entry without channel numbers, of an image with all four modalities in the
            project's order; ``None`` to leave it as it is.
        allow_missing_keys: leave entries without the key as they are.

    Example:
        >>> entry = {"image": torch.zeros(4, 2, 2, 2), "channels": [3]}
        >>> tuple(SelectChannelsd("image")(entry)["image"].shape)
        (1, 2, 2, 2)
        >>> entry = {"image": torch.ones(2, 1, 1, 1), "channels": [0, -1, 1]}  # the second modality is absent
        >>> SelectChannelsd("image")(entry)["image"].flatten().tolist()
        [1.0, 0.0, 1.0]
    """

    def __init__(
        self,
        keys: KeysCollection,
        modalities: Sequence[str] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = None if modalities is None else list(channel_indices(modalities))

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the entry with its images reduced to the chosen channels."""
        entry = dict(data)
        channels = entry.get("channels")
        for key in self.key_iterator(entry):
            if channels is not None:
                numbers = [int(channel) for channel in channels]
                entry[key] = entry[key][[max(number, 0) for number in numbers]]
                for absent in (place for place, number in enumerate(numbers) if number < 0):
                    entry[key][absent] = 0
            elif self.channels is not None and len(entry[key]) == len(MODALITIES):
                entry[key] = entry[key][self.channels]
            elif self.channels is not None and len(entry[key]) != len(self.channels):
                held = len(entry[key])
                volumes = "1 volume" if held == 1 else f"{held} volumes, numbers 0 to {held - 1}"
                raise InputError(
                    f"the image holds {volumes}; expected {len(self.channels)}, or all of {', '.join(MODALITIES)}: "
                    "write those to use to their own files."
                )
        return entry


class SteadySpacingd(Spacingd):
    """Resample as MONAI's ``Spacingd`` does, to a grid that does not depend on the last digits of an affine.

    Three things of MONAI 1.6.1's ``Spacingd`` do. The number of voxels is rounded, and at 2 mm every even number of
    slices of 5 mm ends in a half. The first voxel lies on that of the volume only where the axes are at right angles to
    eight digits, which those of an oblique affine in float32 are not; otherwise the grids share a centre. And a sample
    that lies on a voxel up to rounding gets some 1e-40 to 1e-6 of its neighbour, which beside the brain is above 0: the
    brain's box grows by a voxel, and its mean and deviation, which z-scores take, count voxels of the background. So an
    image that came through DICOM was segmented otherwise than the same image as NIfTI.

    Here the first voxel lies on the first corner, a number of voxels that ends in a half is rounded down, and what
    interpolation leaves below a ten-thousandth of a modality's maximum is 0. An image that has the spacing already
    stays as it is.

    Args:
        keys: keys of channel-first volumes, ``(C, X, Y, Z)``.
        pixdim: voxel size, mm.
        mode: ``"bilinear"`` for images, ``"nearest"`` for label maps; one for all keys, or one each.
        allow_missing_keys: leave entries without the key as they are.
    """

    def __init__(
        self,
        keys: KeysCollection,
        pixdim: Sequence[float],
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, pixdim=pixdim, mode=mode, allow_missing_keys=allow_missing_keys)

    def __call__(self, data: Data, lazy: bool | None = None) -> dict[Hashable, Any]:
        """Return the entry with resampled volumes."""
        entry = dict(data)
        for key, mode in self.key_iterator(entry, self.mode):
            volume = entry[key]
            affine, shape = self._grid(volume)
            resample = self.spacing_transform.sp_resample
            resampled = resample(volume, dst_affine=affine, spatial_size=shape, mode=mode, lazy=lazy)
            if mode != "nearest" and not torch.equal(_plain(volume), _plain(resampled)):
                resampled = _with_metadata_of(resampled, _without_rounding(_plain(resampled)))
            entry[key] = resampled
        return entry

    def _grid(self, volume: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """Return the affine and the shape of the grid that a volume is resampled to."""
        affine = volume.affine.cpu().numpy() if isinstance(volume, MetaTensor) else np.eye(4)
        new = np.array(zoom_affine(affine, self.spacing_transform.pixdim, diagonal=False))
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(volume.shape[1:]) - 1)  # (8, 3)
        places = corners @ np.linalg.solve(new[:3, :3], affine[:3, :3]).T  # from the first voxel, in new voxels
        new[:3, 3] = affine[:3, 3] + new[:3, :3] @ places.min(axis=0)
        shape = np.ceil(np.ptp(places, axis=0) + 1 - HALF_A_VOXEL).astype(int)
        return torch.as_tensor(new), shape.tolist()


class LabelToRegionsd(MapTransform):
    """Turn a label map ``(1, X, Y, Z)`` into the regions TC, WT, ET, ``(3, X, Y, Z)``, float32.

    Args:
        keys: keys of label maps.
        label_scheme: scheme of entries that do not name their own under the key ``scheme``.
        allow_missing_keys: leave entries without the key as they are.

    Raises:
        InputError: when a label value is not in the scheme.
    """

    def __init__(self, keys: KeysCollection, label_scheme: str = "brats2018", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_scheme = label_scheme

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the entry with regions in place of its label maps."""
        entry = dict(data)
        for key in self.key_iterator(entry):
            scheme = entry.get("scheme", self.label_scheme)
            entry[key] = _with_metadata_of(entry[key], label_to_regions(_plain(entry[key]), scheme))
        return entry


class NestedRegionsd(MapTransform):
    """Turn binary regions TC, WT, ET that were each cut by itself into those of the label map that they make.

    A segmentation is scored as it is written: a voxel of the enhancing tumour belongs to the core and the whole tumour
    as well. :func:`~pkdr_monai.regions.nested_regions` says how.

    Args:
        keys: keys of regions, ``(3, X, Y, Z)``.
        allow_missing_keys: leave entries without the key as they are.
    """

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the entry with nested regions."""
        entry = dict(data)
        for key in self.key_iterator(entry):
            entry[key] = _with_metadata_of(entry[key], nested_regions(_plain(entry[key])))
        return entry


class ETRuled(MapTransform):
    """Add the enhancing tumour as it is by the ET rule: none where it is smaller than a volume.

    Under ``pred_et_rule`` lies that of ``pred``, ``(1, X, Y, Z)``; the regions themselves stay. See
    :func:`~pkdr_monai.regions.small_et_to_necrosis`.

    Args:
        keys: keys of predicted regions TC, WT, ET, ``(3, X, Y, Z)``, with an affine.
        et_rule: smallest volume in mm³ that ET keeps.
        allow_missing_keys: leave entries without the key as they are.

    Raises:
        InputError: when ``et_rule`` is below 0.
    """

    def __init__(self, keys: KeysCollection, et_rule: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        check_et_rule(et_rule)
        self.et_rule = et_rule

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the entry with the enhancing tumour beside its regions."""
        entry = dict(data)
        for key in self.key_iterator(entry):
            volume = float(torch.linalg.det(entry[key].affine[:3, :3]).abs())
            ruled = small_et_to_necrosis(_plain(entry[key]), self.et_rule, volume)
            entry[f"{key}_et_rule"] = _with_metadata_of(entry[key], ruled[REGIONS.index("et")][None])
        return entry


class RegionsToLabeld(MapTransform):
    """Turn binary regions TC, WT, ET, ``(3, X, Y, Z)``, into a label map, uint8, ``(1, X, Y, Z)``.

    Args:
        keys: keys of regions.
        label_scheme: scheme of the label values to write.
        allow_missing_keys: leave entries without the key as they are.
    """

    def __init__(self, keys: KeysCollection, label_scheme: str = "brats2018", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_scheme = label_scheme

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the entry with label maps in place of its regions."""
        entry = dict(data)
        for key in self.key_iterator(entry):
            entry[key] = _with_metadata_of(entry[key], regions_to_label(_plain(entry[key]), self.label_scheme))
        return entry


@contextmanager
def _without_notice_of_dicom() -> Iterator[None]:
    """Keep back what MONAI 1.6.1 says of decoders for DICOM, where pydicom is installed, whatever is to be read."""
    decoders = logging.getLogger("monai.data.nvimgcodec_pydicom_plugin")
    level = decoders.level
    decoders.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "NvImgCodecPydicomReader")
            yield
    finally:
        decoders.setLevel(level)


def _without_rounding(image: torch.Tensor) -> torch.Tensor:
    magnitude = image.abs()
    return torch.where(magnitude < ROUNDING * magnitude.amax((1, 2, 3), keepdim=True), 0, image)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _with_metadata_of(source: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    if not isinstance(source, MetaTensor):
        return tensor
    return MetaTensor(tensor, meta=source.meta, applied_operations=source.applied_operations)
