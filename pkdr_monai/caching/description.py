"""A transform as plain data: what it does, for the key of a cache, and for comparing two of them."""

from __future__ import annotations

import threading
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import ImageReader

from pkdr_monai.errors import InputError

__all__ = ["describe"]

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
