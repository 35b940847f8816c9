"""The transforms that read from a cache: a random crop, and a whole case."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data.utils import get_random_patch
from monai.transforms import CastToTyped, Compose, MapTransform, Randomizable, RandSpatialCropd, SpatialPad, SpatialPadd
from monai.utils import fall_back_tuple

from pkdr_monai.caching.description import describe
from pkdr_monai.data.preprocessing import LABEL
from pkdr_monai.errors import InputError

__all__ = ["CropCachedd", "LoadCachedd", "reading_crops"]

Data = Mapping[Hashable, Any]


class CropCachedd(Randomizable, MapTransform):
    """Read a random crop of a cached case, and nothing but the crop; then bring it to the device of training.

    It is drawn just as MONAI's ``SpatialPadd`` and ``RandSpatialCropd`` would draw it from the whole case, and takes
    its numbers from a generator of its own, one an axis: corner X, Y, Z. As the first random transform of a ``Compose``
    it is seeded just as they are, so a run on cached cases sees the crops that a run of train.json sees.

    Args:
        keys: arrays to crop at one place, each ``(C, X, Y, Z)`` of the same ``X, Y, Z``.
        roi_size: size of the crop; cases that are smaller are padded with 0 on both sides.
        device: where the crops, and the transforms behind this one, are to be; ``None`` for where the cache is.

    Example:
        >>> case = {"image": torch.zeros(4, 40, 40, 20, dtype=torch.float16)}
        >>> crop = CropCachedd("image", roi_size=(16, 16, 32))(case)["image"]
        >>> tuple(crop.shape), crop.dtype
        ((4, 16, 16, 32), torch.float32)
    """

    def __init__(self, keys: KeysCollection, roi_size: Sequence[int], device: torch.device | str | None = None) -> None:
        MapTransform.__init__(self, keys)
        self.roi_size = tuple(roi_size)
        self.device = None if device is None else torch.device(device)
        self._corner: tuple[slice, ...] = ()

    def randomize(self, data: Sequence[int]) -> None:
        """Draw the crop in a volume of this size."""
        self._corner = get_random_patch(data, fall_back_tuple(self.roi_size, data), self.R)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the case with tensors of the crop's size in place of its arrays."""
        case = dict(data)
        shape = case[self.keys[0]].shape[1:]
        roi_size = fall_back_tuple(self.roi_size, shape)
        self.randomize([max(sides) for sides in zip(shape, roi_size, strict=True)])
        # an axis that is padded is in the crop as a whole, from 0 on
        parts = [slice(part.start, min(part.stop, side)) for part, side in zip(self._corner, shape, strict=True)]
        padding = SpatialPad(roi_size).compute_pad_width([part.stop - part.start for part in parts])
        widths = [width for before_after in reversed(padding) for width in before_after]
        for key in self.keys:
            crop = _on_device(case[key][(slice(None), *parts)], self.device)
            case[key] = F.pad(crop, widths) if any(widths) else crop
        return case


class LoadCachedd(MapTransform):
    """Read a cached case as a whole, and bring it to the device where the network computes.

    Args:
        keys: arrays to read.
        device: where to bring them; ``None`` for where the cache is.
        allow_missing_keys: leave cases without the key as they are.
    """

    def __init__(
        self, keys: KeysCollection, device: torch.device | str | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.device = None if device is None else torch.device(device)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the case with tensors in place of its arrays."""
        case = dict(data)
        for key in self.key_iterator(case):
            case[key] = _on_device(case[key][(slice(None),) * 4], self.device)
        return case


def reading_crops(augmentation: Compose, device: torch.device | str | None = None) -> list[Any]:
    """Turn an augmentation that crops whole cases into one that reads crops of cached ones.

    Args:
        augmentation: train.json's, or one that begins as it does: the label as uint8, padding and a random crop of one
            size. What follows is kept as it is, and runs on ``device``.
        device: where the crops are to be.

    Returns:
        The transforms: :class:`CropCachedd` in place of those three, and the others.

    Raises:
        InputError: when it begins otherwise.
    """
    head, tail = augmentation.transforms[:3], augmentation.transforms[3:]
    if len(head) == 3 and isinstance(head[2], RandSpatialCropd):
        cropper: Any = head[2].cropper
        keys, roi_size = head[2].keys, cropper.roi_size
        expected = (
            CastToTyped(LABEL, dtype=torch.uint8),
            SpatialPadd(keys, spatial_size=roi_size),
            RandSpatialCropd(keys, roi_size=roi_size, random_size=False),
        )
        if describe(list(head)) == describe(list(expected)):
            return [CropCachedd(keys, roi_size, device), *tail]
    names = ", ".join(type(each).__name__ for each in head)
    raise InputError(
        f"the augmentation begins with {names}: cached cases need one that begins as train.json's does, with "
        "CastToTyped of the label to uint8, SpatialPadd, and RandSpatialCropd of the same size."
    )


def _on_device(array: Any, device: torch.device | None) -> torch.Tensor:
    """Return a copy of a part of an array, floats in float32; it moves in the small type that it is kept in."""
    if device is not None and device.type == "cuda" and torch.utils.data.get_worker_info() is not None:
        raise InputError(
            "num_workers must be 0 where cached cases are augmented on a GPU: a thread does it beside the training."
        )
    part = torch.as_tensor(array).to(device)
    return part.to(torch.float32 if part.is_floating_point() else part.dtype, copy=True)
