"""The files of one segmented case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.errors import InputError
from pkdr_monai.inference.nifti import write_like
from pkdr_monai.inference.postprocessing import binary_regions, entropy, label_map, region_volumes
from pkdr_monai.inference.preview import draw_preview
from pkdr_monai.inference.scans import Scan
from pkdr_monai.inference.settings import Settings
from pkdr_monai.inference.statements import describe_volumes
from pkdr_monai.regions import small_et_to_necrosis
from pkdr_monai.runs.model_card import ModelCard

__all__ = ["write_results"]

SHOWN = ("flair", "t2", "t1ce", "t1")  # what a preview shows of a scan, the first that was used


def write_results(
    folder: Path, scan: Scan, probabilities: torch.Tensor, cards: Sequence[ModelCard], settings: Settings
) -> dict[str, Any]:
    """Write what the settings ask for, each file whole or not at all.

    Args:
        folder: the case's folder.
        scan: the scan.
        probabilities: of TC, WT and ET on its grid, nested, ``(3, X, Y, Z)``.
        cards: the models that ran.
        settings: what to write.

    Returns:
        ``outputs``, the names of the files, and ``volumes_ml``.

    Raises:
        InputError: when a file cannot be written.
    """
    used = {modality for card in cards for modality in card.modalities}
    shown = next(modality for modality in SHOWN if modality in used)
    (source,) = scan.paths([shown])
    header = read_header(source, scan.case.geometry)
    smallest = math.ceil(1000 * settings.min_component / header.voxel_volume)
    regions = small_et_to_necrosis(binary_regions(probabilities, smallest), settings.et_rule, header.voxel_volume)
    volumes = region_volumes(probabilities, header.voxel_volume, smallest, settings.et_rule)
    label = label_map(regions, settings.label_scheme or cards[0].label_scheme)
    volumetric = {f"{scan.name}_seg.nii.gz": label.numpy()}
    if settings.save_probabilities:
        volumetric[f"{scan.name}_probabilities.nii.gz"] = _channels_last(probabilities)
    if settings.uncertainty:
        volumetric[f"{scan.name}_uncertainty.nii.gz"] = _channels_last(entropy(probabilities))
    try:
        for name, volume in volumetric.items():
            write_like(folder / name, volume, source, header.affine)
        image = read_voxels(source)
        if scan.case.channels is not None and image.ndim == 4:
            image = image[..., scan.case.channels[shown]]
        title = f"{scan.name} on {shown}, by {', '.join(card.name for card in cards)}"
        lines = [title, describe_volumes(volumes)]
        if any(card.demonstration for card in cards):
            lines.append("DEMONSTRATION ON SYNTHETIC CASES, NOT FOR PATIENTS")
        draw_preview(folder / "preview.png", image, regions.numpy(), header.affine, lines)
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror or error}; check the disk and --output."
        ) from error
    return {"outputs": [*volumetric, "preview.png"], "volumes_ml": volumes}


def _channels_last(regions: torch.Tensor) -> np.ndarray:
    return regions.movedim(0, -1).contiguous().float().numpy()  # (X, Y, Z, 3)
