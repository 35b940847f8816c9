"""The three tumour regions of BraTS, how each label scheme spells them, and the rule for a very small ET."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from pkdr_monai.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = [
    "HEALTHY_FOLDER",
    "LABEL_SCHEMES",
    "REGIONS",
    "REGION_NAMES",
    "REGION_TISSUES",
    "SHOWN",
    "TISSUES",
    "check_et_rule",
    "label_to_regions",
    "meaning_of",
    "nested_regions",
    "regions_to_label",
    "rounded_labels",
    "scheme_labels",
    "schemes_with",
    "small_et_to_necrosis",
    "whole_labels",
]

HEALTHY_FOLDER = "healthy"
"""Below a folder of this name a label may be empty: a head without a tumour."""

REGIONS: tuple[str, ...] = ("tc", "wt", "et")
"""Channel order of every segmentation here, and MONAI's own: tumour core, whole tumour, enhancing tumour."""

LABEL_SCHEMES: dict[str, dict[str, int]] = {
    "brats2018": {"ncr": 1, "ed": 2, "et": 4},  # 2017 to 2022
    "brats2023": {"ncr": 1, "ed": 2, "et": 3},  # every challenge of 2023, also its children
    "brats2024_gli": {"ncr": 1, "ed": 2, "et": 3, "cavity": 4},  # gliomas after treatment
    "brats2024_ped": {"et": 1, "ncr": 2, "cyst": 3, "ed": 4},  # children
    "msd": {"ed": 1, "ncr": 2, "et": 3},  # Medical Segmentation Decathlon, Task01
}
"""Label values of the tissues of :data:`TISSUES`; background is 0."""

TISSUES: dict[str, str] = {
    "ncr": "necrotic or non-enhancing core",
    "ed": "oedema",
    "et": "enhancing tumour",
    "cyst": "cyst",
    "cavity": "resection cavity",
}
"""What the names of tissues mean. A cyst belongs to the tumour core; a resection cavity is no tumour: background."""

CORE = ("et", "ncr", "cyst")
REGION_TISSUES: dict[str, tuple[str, ...]] = {"tc": CORE, "wt": (*CORE, "ed"), "et": ("et",)}
"""The tissues of each region; a label scheme need not have all of them."""

SHOWN: tuple[str, ...] = ("wt", "tc", "et")
"""The regions from the largest to the smallest, as tables list them and pictures draw them, the smallest on top."""

REGION_NAMES: dict[str, str] = {"wt": "whole tumour", "tc": "tumour core", "et": "enhancing tumour"}
WHOLE = 1e-3  # what a label may lie off a whole number: a program stored it as float, or scaled it

NOT_WHOLE = (
    "the label values are not whole numbers, such as {value:g} (interpolated?): resample labels to the nearest voxel, "
    "or take the label map as it was drawn"
)
OUT_OF_RANGE = "the label holds {value:g}: expected whole numbers from 0 to 255"


def scheme_labels(label_scheme: str) -> dict[str, int]:
    """Return the label values of a scheme.

    Raises:
        InputError: when the scheme is unknown.
    """
    if label_scheme not in LABEL_SCHEMES:
        raise InputError(f"unknown label_scheme {label_scheme!r}: choose among {', '.join(LABEL_SCHEMES)}.")
    return LABEL_SCHEMES[label_scheme]


def schemes_with(found: Collection[int]) -> list[str]:
    """Return the schemes that have all of some label values.

    Example:
        >>> schemes_with([1, 2, 4])
        ['brats2018', 'brats2024_gli', 'brats2024_ped']
    """
    return [name for name, values in LABEL_SCHEMES.items() if set(found) <= set(values.values())]


def meaning_of(found: Sequence[int], label_scheme: str) -> str:
    """Say what label values mean in a scheme that has them.

    Example:
        >>> meaning_of([3, 4], "brats2024_gli")
        '3 is enhancing tumour and 4 is resection cavity'
    """
    tissues = {value: TISSUES[tissue] for tissue, value in scheme_labels(label_scheme).items()}
    return " and ".join(f"{value} is {tissues[value]}" for value in found)


def whole_labels(label: np.ndarray) -> np.ndarray:
    """Return a label map as uint8, its values rounded where they lie within a thousandth of a whole number.

    Args:
        label: label map of any shape and type.

    Raises:
        InputError: when a value is no whole number, or not from 0 to 255.

    Example:
        >>> import numpy as np
        >>> whole_labels(np.array([0, 3.9999998])).tolist()
        [0, 4]
    """
    import numpy as np

    if label.dtype == np.uint8:
        return label
    if label.dtype.kind == "f":
        rounded = np.rint(label)
        with np.errstate(invalid="ignore"):  # infinity
            off = ~(np.abs(label - rounded) <= WHOLE)  # NaN too
        if off.any():
            raise InputError(NOT_WHOLE.format(value=float(label[off][0])) + ".")
        label = rounded
    outside = (label < 0) | (label > 255)
    if outside.any():
        raise InputError(OUT_OF_RANGE.format(value=float(label[outside][0])) + ".")
    return label.astype(np.uint8)


def rounded_labels(label: torch.Tensor) -> torch.Tensor:
    """Do what :func:`whole_labels` does for a tensor, and leave its type as it is.

    Raises:
        InputError: when a value is no whole number, or not from 0 to 255.
    """
    if label.is_floating_point():
        rounded = label.round()
        off = ~((label - rounded).abs() <= WHOLE)
        if off.any():
            raise InputError(NOT_WHOLE.format(value=float(label[off].flatten()[0])) + ".")
        label = rounded
    outside = (label < 0) | (label > 255)
    if outside.any():
        raise InputError(OUT_OF_RANGE.format(value=float(label[outside].flatten()[0])) + ".")
    return label


def label_to_regions(label: torch.Tensor, label_scheme: str = "brats2018") -> torch.Tensor:
    """Turn a label map into the three nested regions.

    Args:
        label: label map, ``(X, Y, Z)`` or ``(1, X, Y, Z)``; values within a thousandth of a whole number are rounded.
        label_scheme: one of :data:`LABEL_SCHEMES`.

    Returns:
        Regions in the order of :data:`REGIONS`, float32 of 0 and 1, ``(3, X, Y, Z)``.

    Raises:
        InputError: when a label is none of the scheme's, or no whole number.

    Example:
        >>> import torch
        >>> label_to_regions(torch.tensor([[[0, 1, 2, 4]]]))[:, 0, 0].tolist()
        [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    """
    import torch  # here, so that checking files, which needs the label values alone, does not wait for it

    values = scheme_labels(label_scheme)
    if label.ndim == 4:
        label = label[0]
    label = rounded_labels(label)
    et = label == values["et"]
    tc = et.clone()
    for tissue in CORE[1:]:
        if tissue in values:
            tc |= label == values[tissue]
    wt = tc | (label == values["ed"])
    foreign = label[~wt & (label != 0) & (label != values.get("cavity", 0))]
    if foreign.numel():
        raise InputError(
            f"label value {float(foreign.flatten()[0]):g} is not in scheme {label_scheme!r} "
            f"(0 and {sorted(values.values())}). Name the scheme that the labels follow."
        )
    return torch.stack([tc, wt, et]).to(torch.float32)


def regions_to_label(regions: torch.Tensor, label_scheme: str = "brats2018") -> torch.Tensor:
    """Turn three binary regions into one label map; a smaller region wins over the larger ones.

    A cyst is written as the core that it belongs to, and a resection cavity never: three regions do not hold them.

    Args:
        regions: binary regions in the order of :data:`REGIONS`, ``(3, X, Y, Z)``.
        label_scheme: one of :data:`LABEL_SCHEMES`.

    Returns:
        Label map, uint8, ``(1, X, Y, Z)``.

    Example:
        >>> import torch
        >>> regions = torch.tensor([[0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]]).reshape(3, 4, 1, 1)
        >>> regions_to_label(regions, "brats2023").flatten().tolist()
        [0, 1, 2, 3]
    """
    import torch

    values = scheme_labels(label_scheme)
    tc, wt, et = (regions[channel] > 0 for channel in range(len(REGIONS)))
    label = torch.zeros_like(wt, dtype=torch.uint8)
    label[wt] = values["ed"]
    label[tc] = values["ncr"]
    label[et] = values["et"]
    return label[None]


def nested_regions(regions: torch.Tensor) -> torch.Tensor:
    """Return three regions as a label map holds them: ET is part of TC, and TC of WT.

    The result is what :func:`label_to_regions` reads from the map that :func:`regions_to_label` writes.

    Args:
        regions: binary regions, each cut by itself, or probabilities, in the order of :data:`REGIONS`,
            ``(3, X, Y, Z)``.

    Returns:
        The nested regions, of the same shape and dtype.

    Example:
        >>> import torch
        >>> nested_regions(torch.tensor([[0, 1, 0], [0, 0, 1], [1, 0, 0]])).tolist()
        [[1, 1, 0], [1, 1, 1], [1, 0, 0]]
    """
    import torch

    tc, wt, et = regions
    tc = torch.maximum(tc, et)
    return torch.stack([tc, torch.maximum(wt, tc), et])


ROUNDING = 1e-6  # relative; affines are stored as float32, so that 500 voxels of 1 mm may have 499.9999 mm³


def check_et_rule(et_rule: float) -> None:
    """Refuse a threshold unless it is 0 or more.

    Raises:
        InputError: when it is below 0 or not a number.
    """
    if not 0 <= et_rule < math.inf:
        raise InputError(f"et_rule is a volume in mm³, 0 or more, got {et_rule:g}: 500 is usual, 0 switches it off.")


def small_et_to_necrosis(regions: torch.Tensor, et_rule: float, voxel_volume: float) -> torch.Tensor:
    """Empty a predicted ET that is smaller than a volume; its voxels stay in TC and WT, as necrosis.

    The volume is that of all voxels of ET together. The rule is for predictions: a truth is left as it is.

    Args:
        regions: TC, WT and ET, nested, ``(3, X, Y, Z)``.
        et_rule: smallest volume in mm³ that ET keeps; 0 keeps every ET.
        voxel_volume: volume of a voxel in mm³.

    Returns:
        Regions of the same shape and dtype; the same tensor where nothing changes.

    Example:
        >>> import torch
        >>> regions = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]]).reshape(3, 3, 1, 1)
        >>> small_et_to_necrosis(regions, et_rule=2, voxel_volume=1)[:, :, 0, 0].tolist()
        [[1, 1, 0], [1, 1, 1], [0, 0, 0]]
    """
    volume = int((regions[2] > 0).sum()) * voxel_volume
    if not 0 < volume < et_rule * (1 - ROUNDING):
        return regions
    emptied = regions.clone()
    emptied[REGIONS.index("et")] = 0
    return emptied
