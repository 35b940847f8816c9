"""From the files of a case to the small arrays that a cache keeps of it."""

from __future__ import annotations

import threading
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import ImageReader
from monai.transforms import Compose, Spacingd
from monai.transforms.traits import RandomizableTrait

from pkdr_monai.caching.fused import load_fused
from pkdr_monai.data.preprocessing import IMAGE, LABEL, preprocessing
from pkdr_monai.errors import InputError
from pkdr_monai.regions import rounded_labels

__all__ = ["Preparation", "describe"]

STATE = (np.random.RandomState, threading.local)  # what a transform carries around but is not set to


def describe(thing: Any) -> Any:
    """Return the settings of a transform, or of a chain of them, as plain data for JSON.

    Two that are described alike do the same with an image, apart from what they draw at random.

    Args:
        thing: a transform, or what it holds.

    Raises:
        InputError: when it holds something that cannot be told from another of its kind, such as a lambda.

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
    raise InputError(f"a {_name(type(thing))} in a transform has no settings to tell it by: it cannot be cached.")


def _settings(thing: Any) -> dict[str, Any]:
    used = ("filenames",) if isinstance(thing, ImageReader) else ()  # those of its last call
    return {name: value for name, value in vars(thing).items() if not isinstance(value, STATE) and name not in used}


def _name(thing: Any) -> str:
    if "<" in thing.__qualname__:  # "<lambda>", "<locals>"
        raise InputError(
            f"{thing.__module__}.{thing.__qualname__} in a transform cannot be told from another: define a function "
            "or a class of a name at the top of a file, so that what was cached with it is recognised."
        )
    return f"{thing.__module__}.{thing.__qualname__}"


VERSION = 2  # raise it when the same files and settings give other arrays


class Preparation:
    """Prepare a case once and for all: everything that comes before chance, in float16, with its label map as it is.

    Where the transforms are those of train.json and the scan has the wanted spacing already, as BraTS has,
    :func:`~pkdr_monai.caching.fused.load_fused` does their work; otherwise the transforms themselves. The values are
    the same, before they are rounded to float16, whose step is at most a thousandth of a value.

    Another preparation with this interface, ``settings`` and a call, may give more arrays of the same size; crops are
    taken from all of them at the same place.

    Args:
        transform: the chain of transforms; nothing in it is random.

    Raises:
        InputError: when a transform is random, or cannot be told by its settings.
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
