"""The files of one segmented case, and the record of the inputs and settings that they were made with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkdr_monai import DISCLAIMER, __version__
from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.drawing import PLANES, REGION_COLOURS, in_ras, plane
from pkdr_monai.errors import InputError
from pkdr_monai.files import (
    atomic_write,
    content_hash,
    file_hash,
    read_object,
    remove_unfinished,
    write_json,
    writing_to,
)
from pkdr_monai.inference.nifti import label_on, original_grids, write_like, write_nifti
from pkdr_monai.inference.postprocessing import binary_regions, entropy, label_map, region_volumes
from pkdr_monai.inference.predictor import Settings
from pkdr_monai.inference.scans import Scan
from pkdr_monai.inference.statements import describe_volumes
from pkdr_monai.regions import REGION_NAMES, REGIONS, SHOWN, small_et_to_necrosis
from pkdr_monai.runs.model_card import ModelCard

__all__ = [
    "RECORD",
    "case_inputs",
    "case_key",
    "clear_results",
    "draw_preview",
    "finished_record",
    "refuse_to_overwrite",
    "remove_mark",
    "write_record",
    "write_results",
]

FIRST = ("flair", "t2", "t1ce", "t1")  # what a preview shows of a scan, the first that was used


def write_results(
    folder: Path, scan: Scan, probabilities: torch.Tensor, cards: Sequence[ModelCard], settings: Settings
) -> dict[str, Any]:
    """Write what the settings ask for, each file whole or not at all.

    Of a scan whose images ``pkdr prepare`` registered, the label map is also written on the grid that each had before,
    as ``<case>_seg_on_<modality>.nii.gz``.

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
    shown = next(modality for modality in FIRST if modality in used)
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
    originals = original_grids(source.parent)
    with writing_to(folder):
        for name, volume in volumetric.items():
            write_like(folder / name, volume, source, header.affine)
        for modality, grid in originals.items():
            moved = label_on(grid, label.numpy(), header.affine)
            write_nifti(folder / f"{scan.name}_seg_on_{modality}.nii.gz", moved, grid.affine)
        image = read_voxels(source)
        if scan.case.channels is not None and image.ndim == 4:
            image = image[..., scan.case.channels[shown]]
        title = f"{scan.name} on {shown}, by {', '.join(card.name for card in cards)}"
        lines = [title, describe_volumes(volumes)]
        if any(card.demonstration for card in cards):
            lines.append("DEMONSTRATION ON SYNTHETIC CASES, NOT FOR PATIENTS")
        draw_preview(folder / "preview.png", image, regions.numpy(), header.affine, lines)
    names = [*volumetric, *(f"{scan.name}_seg_on_{modality}.nii.gz" for modality in originals)]
    return {"outputs": [*names, "preview.png"], "volumes_ml": volumes}


def _channels_last(regions: torch.Tensor) -> np.ndarray:
    return regions.movedim(0, -1).contiguous().float().numpy()  # (X, Y, Z, 3)


def draw_preview(path: Path, image: np.ndarray, regions: np.ndarray, affine: np.ndarray, lines: Sequence[str]) -> None:
    """Draw a PNG, atomically: cuts where the whole tumour is largest, or through the middle where there is none.

    Planes are shown in radiological convention (:func:`pkdr_monai.drawing.plane`), in the patient's proportions.

    Args:
        path: file to write.
        image: the scan, ``(X, Y, Z)``.
        regions: TC, WT, ET, ``(3, X, Y, Z)``.
        affine: voxel index to position in mm, ``(4, 4)``.
        lines: what to write above, a line each.
    """
    volume, sizes = in_ras(image, affine)
    turned = {region: in_ras(part, affine)[0] for region, part in zip(REGIONS, regions, strict=True)}
    figure = Figure(figsize=(12, 5), facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    brightest = float(np.percentile(volume[volume > 0], 99.5)) if (volume > 0).any() else 1.0
    for normal, (axis, title) in enumerate(zip(axes, PLANES, strict=True)):
        level = _largest_cut(turned["wt"], normal)
        across, up = (number for number in range(3) if number != normal)
        shown = plane(volume, normal, level)
        axis.imshow(shown, cmap="gray", vmin=0, vmax=brightest, aspect=sizes[up] / sizes[across])
        _outline(axis, {region: plane(part, normal, level) for region, part in turned.items()})
        axis.set_title(title, color="white", fontsize=10)
        axis.set_axis_off()
    figure.suptitle("\n".join(lines), color="white", fontsize=11)
    names = {region: f"{region.upper()}, {REGION_NAMES[region]}" for region in SHOWN}
    handles = [Line2D([], [], color=REGION_COLOURS[region], label=name) for region, name in names.items()]
    figure.legend(handles=handles, loc="lower right", ncols=3, frameon=False, labelcolor="white", fontsize=9)
    figure.text(0.01, 0.02, DISCLAIMER, color="white", fontsize=9)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.82, bottom=0.09, wspace=0.03)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=80)


def _largest_cut(whole: np.ndarray, normal: int) -> int:
    areas = whole.sum(axis=tuple(axis for axis in range(3) if axis != normal))
    return int(areas.argmax()) if areas.any() else whole.shape[normal] // 2


def _outline(axis: Axes, cuts: dict[str, np.ndarray]) -> None:
    for region in SHOWN:
        if cuts[region].any() and min(cuts[region].shape) > 1:
            axis.contour(cuts[region], levels=[0.5], colors=REGION_COLOURS[region], linewidths=1.2)


RECORD = "record.json"


def case_inputs(scan: Scan, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the file of each modality and the hash of its content.

    Raises:
        InputError: when a file cannot be read.
    """
    inputs: dict[str, dict[str, Any]] = {}
    for modality in modalities:
        (path,) = scan.paths([modality])
        channel = None if scan.case.channels is None else scan.case.channels[modality]
        inputs[modality] = {"file": str(path), "sha256": file_hash(path), "channel": channel}
    return inputs


def case_key(
    inputs: Mapping[str, Mapping[str, Any]], cards: Sequence[ModelCard], settings: Settings, engines: Sequence[str]
) -> str:
    """Return a hash of all that determines the result of a case: images, models, settings, engines, version.

    Where a file lies does not matter, only what it holds.
    """
    content = {modality: (facts["sha256"], facts["channel"]) for modality, facts in inputs.items()}
    models = [(card.sha256, card.modalities, card.network, card.spacing, card.roi_size) for card in cards]
    return content_hash([content, models, settings.as_dict(), list(engines), __version__])


def finished_record(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the record of a case that was done with the same key and whose results are all there, or ``None``."""
    try:
        record = read_object(folder / RECORD)
    except InputError:
        return None
    if record.get("key") != key:
        return None
    return record if all((folder / name).is_file() for name in record.get("outputs", ())) else None


def refuse_to_overwrite(folder: Path, scan: Scan) -> None:
    """Refuse a case's folder that holds the scan itself, or a file that no prediction wrote, such as a drawn label.

    Args:
        folder: the case's folder below the output.
        scan: the scan.

    Raises:
        InputError: when it does.
    """
    held = [path for path in scan.paths(scan.modalities) if path.resolve().parent == folder.resolve()]
    if not held and not (folder / RECORD).exists():
        names = [f"{scan.name}_{what}.nii.gz" for what in ("seg", "probabilities", "uncertainty")]
        held = [folder / name for name in (*names, "preview.png") if (folder / name).exists()]
    if held:
        raise InputError(
            f"the results would go to {folder}, which holds {held[0].name}, and no prediction wrote that: choose "
            "another --output, so that nothing of yours is replaced."
        )


def clear_results(folder: Path) -> None:
    """Remove the results that an earlier record lists, and mark the folder as one whose results are being written.

    Results that are about to be replaced, wholly or in part, must not pass for those of the earlier record. What a
    process that was killed had half written goes, too.
    """
    remove_unfinished(folder)
    try:
        record = read_object(folder / RECORD)
    except InputError:
        record = {}  # absent or damaged
    write_record(folder / RECORD, {"status": "unfinished", "note": DISCLAIMER})
    for name in record.get("outputs", ()):
        (folder / Path(name).name).unlink(missing_ok=True)


def remove_mark(folder: Path) -> None:
    """Remove a case's folder that holds the mark of :func:`clear_results` alone, since nothing could be written."""
    if [path.name for path in folder.iterdir()] == [RECORD]:
        (folder / RECORD).unlink()
        folder.rmdir()


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, whole or not at all.

    Raises:
        InputError: when it cannot be written.
    """
    with writing_to(path):
        write_json(path, record)
