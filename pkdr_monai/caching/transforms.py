"""Crops from the cache as transforms, and the loader that fetches them ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import DataLoader
from monai.data.utils import get_random_patch
from monai.transforms import (
    CastToTyped,
    Compose,
    EnsureTyped,
    MapTransform,
    RandFlipd,
    Randomizable,
    RandScaleIntensityd,
    RandShiftIntensityd,
    RandSpatialCropd,
    SpatialPadd,
)
from monai.utils import fall_back_tuple

from pkdr_monai.caching.preparation import describe
from pkdr_monai.caching.teacher_outputs import EMBEDDING, PATCH_LOGITS, SOFT_TARGET
from pkdr_monai.data.preprocessing import LABEL
from pkdr_monai.data.transforms import LabelToRegionsd
from pkdr_monai.errors import InputError
from pkdr_monai.networks.blocks import STRIDE

__all__ = ["CropCachedd", "LoadCachedd", "PrefetchDataLoader", "reading_crops"]

Data = Mapping[Hashable, Any]
TEACHER = (SOFT_TARGET, PATCH_LOGITS, EMBEDDING)
STANDS_STILL = (RandScaleIntensityd, RandShiftIntensityd, LabelToRegionsd, EnsureTyped)  # voxels stay where they are


class CropCachedd(Randomizable, MapTransform):
    """Read a random crop of a cached case, and nothing but the crop; then bring it to the device of training.

    It is drawn just as MONAI's ``SpatialPadd`` and ``RandSpatialCropd`` would draw it from the whole case, and takes
    its numbers from a generator of its own, one an axis: corner X, Y, Z. As the first random transform of a ``Compose``
    it is seeded just as they are, so a run on cached cases sees the crops that a run of train.json sees.

    Args:
        keys: arrays to crop at one place, each ``(C, X, Y, Z)`` of the same ``X, Y, Z``.
        roi_size: size of the crop; cases that are smaller are padded with 0 on both sides.
        device: where the crops, and the transforms after this one, are to be; ``None`` for where the cache is.
        patch_keys: arrays with one voxel for each patch of 16 voxels a side. With them, crops begin and end at whole
            patches, and so do cases and ``roi_size`` have to.

    Example:
        >>> case = {"image": torch.zeros(4, 40, 40, 20, dtype=torch.float16)}
        >>> crop = CropCachedd("image", roi_size=(16, 16, 32))(case)["image"]
        >>> tuple(crop.shape), crop.dtype
        ((4, 16, 16, 32), torch.float32)
    """

    def __init__(
        self,
        keys: KeysCollection,
        roi_size: Sequence[int],
        device: torch.device | str | None = None,
        patch_keys: Sequence[str] = (),
    ) -> None:
        MapTransform.__init__(self, keys)
        self.roi_size = tuple(roi_size)
        self.patch_keys = tuple(patch_keys)
        self.stride = STRIDE if patch_keys else 1
        if any(side % self.stride for side in self.roi_size):
            raise InputError(
                f"roi_size {list(self.roi_size)} does not consist of whole patches of {STRIDE} voxels: "
                "what is cached for each patch cannot be cropped to it."
            )
        self.device = None if device is None else torch.device(device)
        self._corner: tuple[slice, ...] = ()

    def randomize(self, data: Sequence[int]) -> None:
        """Draw the crop in a volume of this size, in units of patches where there are arrays with one voxel a patch."""
        units, size = ([-(-side // self.stride) for side in sides] for sides in (data, self.roi_size))
        self._corner = get_random_patch(units, fall_back_tuple(size, units), self.R)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        """Return the case with tensors of the crop's size in place of its arrays."""
        case = dict(data)
        shape = case[self.keys[0]].shape[1:]
        roi_size = fall_back_tuple(self.roi_size, shape)
        self.randomize([max(sides) for sides in zip(shape, roi_size, strict=True)])
        for keys, scale in ((self.keys, self.stride), (self.patch_keys, 1)):
            for key in keys:
                size = [side * scale // self.stride for side in roi_size]
                case[key] = self._cut(case[key], scale, size)
        return case

    def _cut(self, array: Any, scale: int, size: Sequence[int]) -> torch.Tensor:
        """Cut the crop out of an array, of which ``scale`` voxels a side are one unit of the crop's corner."""
        # an axis that is padded is in the crop as a whole, from 0 on
        parts = [
            slice(part.start * scale, min(part.stop * scale, side))
            for part, side in zip(self._corner, array.shape[1:], strict=True)
        ]
        crop = _on_device(array[(slice(None), *parts)], self.device)
        before = [(wanted - have) // scale // 2 * scale for wanted, have in zip(size, crop.shape[1:], strict=True)]
        after = [wanted - have - first for wanted, have, first in zip(size, crop.shape[1:], before, strict=True)]
        widths = [width for pair in reversed(list(zip(before, after, strict=True))) for width in pair]
        return F.pad(crop, widths) if any(widths) else crop


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


def reading_crops(augmentation: Compose, device: torch.device | str | None = None, teacher: bool = False) -> list[Any]:
    """Turn an augmentation that crops whole cases into one that reads crops of cached ones.

    Args:
        augmentation: train.json's, or one that begins as it does: the label as uint8, padding and a random crop of one
            size. What follows is kept as it is, and runs on ``device``.
        device: where the crops are to be.
        teacher: the teacher's outputs are cached, too: crops begin at whole patches, flips flip both.

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
            if not teacher:
                return [CropCachedd(keys, roi_size, device), *tail]
            patch_keys = (PATCH_LOGITS, EMBEDDING)
            crop = CropCachedd((*keys, SOFT_TARGET), roi_size, device, patch_keys)
            return [crop, *(_beside_a_teacher(each) for each in tail)]
    names = ", ".join(type(each).__name__ for each in head)
    raise InputError(
        f"the augmentation begins with {names}: cached cases need one that begins as train.json's does, with "
        "CastToTyped of the label to uint8, SpatialPadd, and RandSpatialCropd of the same size."
    )


def _beside_a_teacher(transform: Any) -> Any:
    """Let a flip flip the teacher's outputs as well; refuse what would move the image alone."""
    if isinstance(transform, RandFlipd):
        return RandFlipd((*transform.keys, *TEACHER), transform.prob, transform.flipper.spatial_axis)
    if not isinstance(transform, STANDS_STILL):
        raise InputError(
            f"augmentation holds {type(transform).__name__}, which may move the image away from the teacher's cached "
            "outputs: take it out, or train beside a teacher that sees every crop."
        )
    return transform


def _on_device(array: Any, device: torch.device | None) -> torch.Tensor:
    """Return a copy of a part of an array, floats in float32; it moves in the small type that it is kept in."""
    if device is not None and device.type == "cuda" and torch.utils.data.get_worker_info() is not None:
        raise InputError(
            "num_workers must be 0 where cached cases are augmented on a GPU: a thread does it beside the training."
        )
    part = torch.as_tensor(array).to(device)
    return part.to(torch.float32 if part.is_floating_point() else part.dtype, copy=True)


AHEAD = 2  # batches held ready
END = object()


class PrefetchDataLoader(DataLoader):
    """Load batches ahead, in one thread, in the order and with the randomness of MONAI's ``DataLoader``.

    A thread shares the GPU and the cached cases with the network, which worker processes cannot. MONAI's own
    ``ThreadDataLoader`` does the same, but when its thread fails, the epoch just ends early, without an error.

    It takes the arguments of MONAI's ``DataLoader``.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # as MONAI's own, a generator
        """Yield the batches of an epoch; what goes wrong in the thread is raised here."""
        batches = super().__iter__()
        # as in PyTorch's own pinning thread: the cores are for the network, and the setting is this thread's alone
        thread = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
        try:
            waiting = deque(thread.submit(next, batches, END) for _ in range(AHEAD))
            while (batch := waiting.popleft().result()) is not END:
                waiting.append(thread.submit(next, batches, END))
                yield batch
        finally:
            thread.shutdown(cancel_futures=True)
