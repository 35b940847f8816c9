"""From the files of a case to the small arrays that a cache keeps of it."""

from __future__ import annotations

import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import reduce
from pathlib import Path
from typing import Any

import monai
import nibabel as nib
import numpy as np
import torch
from monai.data import ImageReader
from monai.transforms import Compose, Spacingd
from monai.transforms.traits import RandomizableTrait

from pkdr_monai.data.geometry import is_same_grid
from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.data.preprocessing import IMAGE, LABEL, preprocessing
from pkdr_monai.errors import InputError
from pkdr_monai.networks.blocks import STRIDE
from pkdr_monai.regions import rounded_labels, whole_labels

__all__ = ["Preparation", "describe", "load_fused"]

VERSION = 2  # raise it when the same files and settings give other arrays
STATE = (np.random.RandomState, threading.local)  # what a transform carries around but is not set to
TOLERANCE = 1e-6  # mm, of a voxel's edges; far below what makes MONAI resample

Box = tuple[slice, ...]


class Preparation:
    """Prepare a case once and for all: everything that comes before chance, in float16, with its label map as it is.

    Where the transforms are those of train.json and the scan has the wanted spacing already, as BraTS has,
    :func:`load_fused` does their work; otherwise the transforms themselves. The values are the same, before they are
    rounded to float16, whose step is at most a thousandth of a value.

    Another preparation with this interface, ``settings`` and a call, may give more arrays of the same size; crops are
    taken from all of them at the same place.

    Args:
        transform: the chain of transforms; nothing in it is random.

    Raises:
        InputError: when a transform is random, or cannot be identified by its settings.
    """

    def __init__(self, transform: Compose) -> None:
        for each in transform.flatten().transforms:
            if isinstance(each, RandomizableTrait):
                raise InputError(
                    f"preprocessing holds {type(each).__name__}, which is random: what is cached is drawn once for all "
                    "epochs. Move it to augmentation."
                )
        self.transform = transform
        self.settings: dict[str, Any] = {
            "version": VERSION,
            "monai": monai.__version__,
            "transforms": describe(transform),
        }
        self.fused_spacing = self._spacing_of_the_bundles_own()

    def __call__(self, item: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the arrays of a case.

        Args:
            item: as :func:`pkdr_monai.data.training_items` makes it.

        Returns:
            ``"image"`` float16, ``(M, X, Y, Z)``, and, where the item has one, ``"label"`` uint8, ``(1, X, Y, Z)``.

        Raises:
            InputError: when a file cannot be read, or float16 cannot hold a value.
        """
        arrays: Mapping[str, Any] | None = None
        if self.fused_spacing is not None:
            arrays = load_fused(item, self.fused_spacing)
        if arrays is None:
            arrays = self.transform(dict(item), threading=True)  # a reader is not to be shared among threads
        compact = {IMAGE: _as_float16(torch.as_tensor(arrays[IMAGE]), item)}
        if LABEL in arrays:
            compact[LABEL] = rounded_labels(torch.as_tensor(arrays[LABEL])).to(torch.uint8).contiguous().numpy()
        return compact

    def _spacing_of_the_bundles_own(self) -> tuple[float, ...] | None:
        """Return the spacing that the transforms ask for where they are train.json's; ``None`` for any others."""
        found = [each for each in self.transform.transforms if isinstance(each, Spacingd)]
        if not found:
            return None
        spacing = found[0].spacing_transform.pixdim.tolist()
        own = describe(preprocessing(spacing))
        return tuple(spacing) if len(spacing) == 3 and describe(self.transform) == own else None


def _as_float16(image: torch.Tensor, item: Mapping[str, Any]) -> np.ndarray:
    largest = max(map(abs, map(float, image.aminmax())))
    if largest > torch.finfo(torch.float16).max:
        raise InputError(
            f"case {item.get('case')}: float16, in which cases are cached, cannot hold its values of up to "
            f"{largest:g}. Scale the image in preprocessing."
        )
    return image.to(torch.float16).contiguous().numpy()


def load_fused(item: Mapping[str, Any], spacing: Sequence[float]) -> dict[str, np.ndarray] | None:
    """Do what :func:`pkdr_monai.data.preprocessing.preprocessing` does, where a scan has the wanted spacing.

    The box of the brain is found in the voxels as they are stored, and nothing outside it is ever made a float. Axes
    are turned to RAS without a copy. What needs MONAI's resampling, or its judgement on files that do not fit together,
    is not tried here.

    Args:
        item: as :func:`pkdr_monai.data.training_items` makes it.
        spacing: voxel size of the network, mm.

    Returns:
        ``"image"`` float32, ``(M, X, Y, Z)``, and, where the item has one, ``"label"`` uint8, ``(1, X, Y, Z)``;
        ``None`` for what is MONAI's: another spacing, oblique axes, files of several shapes, an
        absent modality, no voxel above 0.

    Raises:
        InputError: when a file is absent or damaged.
    """
    if any(int(channel) < 0 for channel in item.get("channels") or ()):
        return None
    files = [item[IMAGE]] if isinstance(item[IMAGE], str) else list(item[IMAGE])
    labels = [item[LABEL]] if LABEL in item else []
    grids = [_grid(Path(file), str(item.get("geometry", "header"))) for file in (*files, *labels)]
    if not _fits(grids, len(files), spacing):
        return None
    volumes = [_turned(Path(file), grids[0][1]) for file in (*files, *labels)]
    modalities = _modalities(volumes[: len(files)], item.get("channels"))
    box = _brain_box(modalities)
    if box is None:
        return None
    arrays = {IMAGE: _cut(modalities, box, np.float32)}
    for channel in arrays[IMAGE]:
        _normalise(channel)
    if labels:
        arrays[LABEL] = _cut([whole_labels(volumes[-1])], box, np.uint8)
    return arrays


def _grid(path: Path, geometry: str) -> tuple[tuple[int, ...], np.ndarray]:
    with _one_sentence(path):
        header = read_header(path, geometry)
    return header.shape, header.affine


def _fits(grids: Sequence[tuple[tuple[int, ...], np.ndarray]], images: int, spacing: Sequence[float]) -> bool:
    """Say whether files lie on one grid of the wanted spacing, but for the order and direction of its axes."""
    (shape, affine), *others = grids
    if len(shape) != (3 if images > 1 else len(shape)) or len(shape) not in (3, 4):
        return False
    for other_shape, other_affine in others:
        if other_shape != shape[:3] or not is_same_grid(shape, other_affine, affine):
            return False
    return _is_spacing(shape, affine, spacing)


def _is_spacing(shape: Sequence[int], affine: np.ndarray, spacing: Sequence[float]) -> bool:
    turned = affine @ nib.orientations.inv_ornt_aff(_turn(affine), shape[:3])
    return np.allclose(turned[:3, :3], np.diag(spacing), rtol=0, atol=TOLERANCE)


def _turn(affine: np.ndarray) -> np.ndarray:
    return nib.orientations.io_orientation(affine)


def _turned(path: Path, affine: np.ndarray) -> np.ndarray:
    """Read voxels and view them in RAS."""
    with _one_sentence(path):
        voxels = read_voxels(path)
    return nib.orientations.apply_orientation(voxels, _turn(affine))


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except UnreadableError as error:
        raise error.of(path) from error


def _modalities(volumes: Sequence[np.ndarray], channels: Sequence[int] | None) -> list[np.ndarray]:
    if volumes[0].ndim == 3:
        return list(volumes)
    numbers = range(volumes[0].shape[3]) if channels is None else map(int, channels)
    return [volumes[0][..., number] for number in numbers]


def _brain_box(modalities: Sequence[np.ndarray]) -> Box | None:
    """Return where any modality is above 0, enlarged to whole patches as ``CropForeground`` does, maybe beyond 0."""
    brightest = reduce(np.fmax, modalities)  # which passes over NaN, as a comparison with 0 does
    columns = np.fmax.reduce(brightest, axis=2)  # (X, Y)
    if not (columns > 0).any():
        return None
    profiles = np.fmax.reduce(columns, axis=1), np.fmax.reduce(columns, axis=0), np.fmax.reduce(brightest, axis=(0, 1))
    box = []
    for profile in profiles:
        inside = np.flatnonzero(profile > 0)
        first, side = int(inside[0]), int(inside[-1] - inside[0] + 1)
        whole = -(-side // STRIDE) * STRIDE
        first -= (whole - side) // 2
        box.append(slice(first, first + whole))
    return tuple(box)


def _cut(volumes: Sequence[np.ndarray], box: Box, dtype: type) -> np.ndarray:
    """Return the volumes in a box, with 0 where it reaches beyond them."""
    array = np.zeros((len(volumes), *(side.stop - side.start for side in box)), dtype)
    shape = volumes[0].shape
    source = tuple(slice(max(side.start, 0), min(side.stop, size)) for side, size in zip(box, shape, strict=True))
    target = tuple(
        slice(there.start - side.start, there.stop - side.start) for there, side in zip(source, box, strict=True)
    )
    for channel, volume in zip(array, volumes, strict=True):
        channel[target] = volume[source]
    return array


def _normalise(channel: np.ndarray) -> None:
    """Z-score what is not 0, in place, as ``NormalizeIntensity(nonzero=True)`` does."""
    inside = channel != 0
    values = channel[inside]
    if values.size:
        channel -= values.mean()
        channel /= values.std() or 1.0
        channel *= inside  # in half the time of an assignment to channel[inside]


def describe(thing: Any) -> Any:
    """Return the settings of a transform, or of a chain of them, as plain data for JSON.

    Two that are described alike do the same with an image, apart from what they draw at random.

    Args:
        thing: a transform, or what it holds.

    Raises:
        InputError: when it holds something that cannot be distinguished from another of its kind, such as a lambda.

    Example:
        >>> from monai.transforms import Flipd
        >>> describe(Flipd("image", 0)) == describe(Flipd("image", 0)), describe(Flipd("image", 1))["flipper"]
        (True, {'class': 'monai.transforms.spatial.array.Flip', '_lazy': False, 'spatial_axis': 1})
    """
    if isinstance(thing, Enum):
        return str(thing.value)
    if thing is None or isinstance(thing, bool | int | float | str):
        return "nan" if thing != thing else thing  # a NaN is not equal to itself, and two descriptions would differ
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [describe(value) for value in thing]
    if isinstance(thing, np.ndarray | torch.Tensor):
        return describe(thing.tolist())
    if isinstance(thing, Path | torch.dtype | np.dtype | torch.device):
        return str(thing)
    if isinstance(thing, type | types.FunctionType | types.BuiltinFunctionType):
        return _name(thing)
    if hasattr(thing, "__dict__"):
        return {"class": _name(type(thing)), **{name: describe(value) for name, value in _settings(thing).items()}}
    raise InputError(f"a {_name(type(thing))} in a transform has no settings that identify it: it cannot be cached.")


def _settings(thing: Any) -> dict[str, Any]:
    used = ("filenames",) if isinstance(thing, ImageReader) else ()  # those of its last call
    return {name: value for name, value in vars(thing).items() if not isinstance(value, STATE) and name not in used}


def _name(thing: Any) -> str:
    if "<" in thing.__qualname__:  # "<lambda>", "<locals>"
        raise InputError(
            f"{thing.__module__}.{thing.__qualname__} in a transform cannot be distinguished from another: define a "
            "function or a class of a name at the top of a file, so that what was cached with it is recognised."
        )
    return f"{thing.__module__}.{thing.__qualname__}"
