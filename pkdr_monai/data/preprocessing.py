"""From the files of a case to what a network sees: the bundle's own preprocessing, in Python."""

from __future__ import annotations

from collections.abc import Sequence

from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureChannelFirstd,
    NormalizeIntensityd,
    Orientationd,
    Spacingd,
)

from pkdr_monai.data.transforms import LoadModalitiesd, SelectChannelsd, SteadySpacingd
from pkdr_monai.networks.blocks import STRIDE

__all__ = ["IMAGE", "LABEL", "preprocessing"]

IMAGE, LABEL = "image", "label"


def preprocessing(spacing: Sequence[float], inference: bool = False) -> Compose:
    """Return the preprocessing of ``bundle/configs``: keep both in step.

    Load, orient to RAS, resample, crop to the brain's box enlarged to whole patches, and z-score each modality over the
    brain. A case without a label is prepared all the same. Tests hold this equal to train.json and inference.json,
    setting by setting.

    Args:
        spacing: voxel size of the network, mm.
        inference: resample by ``SteadySpacingd``, as inference.json does, not by MONAI's ``Spacingd``, by which
            train.json's recorded results were computed.
    """
    both = (IMAGE, LABEL)
    resample = SteadySpacingd if inference else Spacingd
    return Compose(
        [
            LoadModalitiesd(both, allow_missing_keys=True),
            EnsureChannelFirstd(both, allow_missing_keys=True),
            SelectChannelsd(IMAGE),
            Orientationd(both, axcodes="RAS", labels=None, allow_missing_keys=True),
            resample(both, pixdim=spacing, mode=("bilinear", "nearest"), allow_missing_keys=True),
            CropForegroundd(both, source_key=IMAGE, k_divisible=STRIDE, allow_smaller=True, allow_missing_keys=True),
            NormalizeIntensityd(IMAGE, nonzero=True, channel_wise=True),
        ]
    )
