"""The three tumour regions of BraTS and how each label scheme spells them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkdr_monai.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["LABEL_SCHEMES", "REGIONS", "label_to_regions", "regions_to_label", "scheme_labels"]

REGIONS: tuple[str, ...] = ("tc", "wt", "et")
"""Channel order of every segmentation here, and MONAI's own: tumour core, whole tumour, enhancing tumour."""

LABEL_SCHEMES: dict[str, dict[str, int]] = {
    "brats2018": {"ncr": 1, "ed": 2, "et": 4},  # 2012 to 2022
    "brats2023": {"ncr": 1, "ed": 2, "et": 3},
    "msd": {"ed": 1, "ncr": 2, "et": 3},  # Medical Segmentation Decathlon, Task01
}
"""Label values of necrotic core (with non-enhancing tumour), oedema and enhancing tumour; background is 0."""


def scheme_labels(label_scheme: str) -> dict[str, int]:
    """Return the label values of a scheme.

    Raises:
        InputError: when the scheme is unknown.
    """
    if label_scheme not in LABEL_SCHEMES:
        raise InputError(f"unknown label_scheme {label_scheme!r}: choose among {', '.join(LABEL_SCHEMES)}.")
    return LABEL_SCHEMES[label_scheme]


def label_to_regions(label: torch.Tensor, label_scheme: str = "brats2018") -> torch.Tensor:
    """Turn a label map into the three nested regions.

    Args:
        label: label map, ``(X, Y, Z)`` or ``(1, X, Y, Z)``.
        label_scheme: one of :data:`LABEL_SCHEMES`.

    Returns:
        Regions in the order of :data:`REGIONS`, float32 of 0 and 1, ``(3, X, Y, Z)``.

    Raises:
        InputError: when a label is none of the scheme's.

    Example:
        >>> import torch
        >>> label_to_regions(torch.tensor([[[0, 1, 2, 4]]]))[:, 0, 0].tolist()
        [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]]
    """
    import torch  # here, so that checking files, which needs the label values alone, does not wait for it

    values = scheme_labels(label_scheme)
    if label.ndim == 4:
        label = label[0]
    et = label == values["et"]
    tc = et | (label == values["ncr"])
    wt = tc | (label == values["ed"])
    foreign = label[~wt & (label != 0)]
    if foreign.numel():
        raise InputError(
            f"label value {float(foreign.flatten()[0]):g} is not in scheme {label_scheme!r} "
            f"(0 and {sorted(values.values())}). Name the scheme that the labels follow."
        )
    return torch.stack([tc, wt, et]).to(torch.float32)


def regions_to_label(regions: torch.Tensor, label_scheme: str = "brats2018") -> torch.Tensor:
    """Turn three binary regions into one label map; a smaller region wins over the larger ones.

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
