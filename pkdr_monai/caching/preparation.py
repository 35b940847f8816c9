"""From the files of a case to the small arrays that a cache keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import monai
import numpy as np
import torch
from monai.transforms import Compose, Spacingd
from monai.transforms.traits import RandomizableTrait

from pkdr_monai.caching.description import describe
from pkdr_monai.caching.fused import load_fused
from pkdr_monai.data.preprocessing import IMAGE, LABEL, preprocessing
from pkdr_monai.errors import InputError
from pkdr_monai.regions import rounded_labels

__all__ = ["Preparation"]

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
