"""From the files of a scan to what a network sees: the bundle's own preprocessing, in Python."""

from __future__ import annotations

from collections.abc import Sequence

from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Spacingd,
)

from pkdr_monai.data.transforms import SelectChannelsd
from pkdr_monai.networks.blocks import STRIDE

__all__ = ["preprocessing"]

IMAGE = "image"


def preprocessing(spacing: Sequence[float]) -> Compose:
    """Return the preprocessing of ``bundle/configs/inference.json``: whoever changes one changes the other.

    Load, orient to RAS, resample, crop to the brain's box enlarged to whole patches, and z-score each modality over the
    brain. A test holds the two equal, transform by transform and label by label.

    Args:
        spacing: voxel size of the network, mm.
    """
    return Compose(
        [
            LoadImaged(IMAGE),
            EnsureChannelFirstd(IMAGE),
            SelectChannelsd(IMAGE),
            Orientationd(IMAGE, axcodes="RAS", labels=None),
            Spacingd(IMAGE, pixdim=spacing, mode="bilinear"),
            CropForegroundd(IMAGE, source_key=IMAGE, k_divisible=STRIDE, allow_smaller=True),
            NormalizeIntensityd(IMAGE, nonzero=True, channel_wise=True),
        ]
    )
