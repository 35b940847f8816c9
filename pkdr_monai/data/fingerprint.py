"""A data set in figures: shapes, spacings, intensities and tumour volumes, by case and over all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pkdr_monai.data.cases import Case
from pkdr_monai.data.checks import Progress
from pkdr_monai.data.headers import Header, UnreadableError, describe_shape, read_header, read_voxels
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import REGION_TISSUES, REGIONS, scheme_labels, whole_labels

__all__ = ["CaseVolumes", "fingerprint"]

PERCENTILES = {"minimum": 0, "p1": 1, "median": 50, "p99": 99, "maximum": 100}


@dataclass(frozen=True)
class CaseVolumes:
    """A case's voxels as they were read, on the grid of the first of its images.

    Args:
        images: modality to volume, ``(X, Y, Z)``.
        label: label map, ``(X, Y, Z)``, or ``None``.
        affine: voxel index to position in mm, ``(4, 4)``.
    """

    images: dict[str, np.ndarray]
    label: np.ndarray | None
    affine: np.ndarray


def fingerprint(
    cases: Sequence[Case],
    folder: str | Path,
    label_scheme: str,
    progress: Progress | None = None,
    look: Callable[[Case, CaseVolumes], None] | None = None,
) -> dict[str, Any]:
    """Measure cases that a check found sound.

    Args:
        cases: what to measure.
        folder: the folder that the cases' files are relative to.
        label_scheme: scheme of the labels.
        progress: called after each case with the number done and the total.
        look: called with each case and its voxels, for who wants to draw them while they are read.

    Returns:
        Plain data for JSON: ``"name"`` of the folder, ``"label_scheme"``, ``"summary"`` over all cases, and
        ``"cases"``, each with ``"shape"``, ``"spacing_mm"``, ``"orientation"``, ``"intensities"`` of the voxels that
        are not 0 by modality, and ``"volumes_ml"`` by region where it has a label.

    Raises:
        InputError: when a file cannot be read.
    """
    folder = Path(folder)
    entries = []
    for done, case in enumerate(cases, start=1):
        volumes = _read(case, folder)
        entries.append(_entry(case, volumes, scheme_labels(label_scheme)))
        if look is not None:
            look(case, volumes)
        if progress is not None:
            progress(done, len(cases))
    name = folder.absolute().name
    return {"name": name, "label_scheme": label_scheme, "summary": _summary(entries), "cases": entries}


def _read(case: Case, folder: Path) -> CaseVolumes:
    voxels: dict[str, np.ndarray] = {}
    headers: list[Header] = []
    try:
        for path in dict.fromkeys(case.files.values()):  # a 4-D file stands for several modalities: read it once
            headers.append(read_header(folder / path, case.geometry))
            voxels[path] = read_voxels(folder / path)
    except UnreadableError as error:
        raise error.of(f"case {case.name}") from error
    if not case.modalities:
        raise InputError(f"case {case.name} has no image. Restore it, or leave the case out with --exclude.")
    images = {
        modality: voxels[path] if voxels[path].ndim == 3 else voxels[path][..., (case.channels or {})[modality]]
        for modality, path in case.modalities.items()
    }
    label = None if case.label is None else whole_labels(voxels[case.label])
    return CaseVolumes(images, label, headers[0].affine)


def _entry(case: Case, volumes: CaseVolumes, values: Mapping[str, int]) -> dict[str, Any]:
    """Describe one case."""
    spacing = np.linalg.norm(volumes.affine[:3, :3], axis=0)
    entry: dict[str, Any] = {"case": case.name}
    if case.grade is not None:
        entry["grade"] = case.grade
    entry |= {
        "shape": list(next(iter(volumes.images.values())).shape),
        "spacing_mm": [round(float(size), 4) for size in spacing],
        "orientation": "".join(nib.aff2axcodes(volumes.affine)),
        "intensities": {modality: _intensities(image) for modality, image in volumes.images.items()},
    }
    if volumes.label is not None:
        millilitres = float(np.prod(spacing)) / 1000
        count = {tissue: int(np.count_nonzero(volumes.label == value)) for tissue, value in values.items()}
        voxels = {region: sum(count.get(tissue, 0) for tissue in REGION_TISSUES[region]) for region in REGIONS}
        entry["volumes_ml"] = {region: round(voxels[region] * millilitres, 3) for region in REGIONS}
    return entry


def _intensities(image: np.ndarray) -> dict[str, float]:
    """Return percentiles of what is not 0, and which part of the volume that is."""
    shown = image[image != 0]
    if not shown.size:
        return {"part_not_0": 0.0}
    percentiles = np.percentile(shown.astype(np.float64), list(PERCENTILES.values()))
    figures = {name: float(f"{value:.6g}") for name, value in zip(PERCENTILES, percentiles, strict=True)}
    return {**figures, "part_not_0": round(shown.size / image.size, 4)}


def _summary(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Count what should be alike, and give the spread of the rest as least, median and most over the cases."""

    def counted(values: list[str]) -> dict[str, int]:
        return dict(Counter(values).most_common())

    def spread(values: list[float]) -> list[float]:
        return [float(f"{value:.6g}") for value in np.percentile(values, [0, 50, 100])]

    medians: dict[str, list[float]] = {modality: [] for modality in MODALITIES}
    for entry in entries:
        for modality, figures in entry["intensities"].items():
            if "median" in figures:
                medians[modality].append(figures["median"])
    labelled = [entry["volumes_ml"] for entry in entries if "volumes_ml" in entry]
    return {
        "cases": len(entries),
        "labelled": len(labelled),
        "grades": counted([entry["grade"] for entry in entries if "grade" in entry]),
        "shapes": counted([describe_shape(tuple(entry["shape"])) for entry in entries]),
        "spacings_mm": counted(["x".join(f"{size:g}" for size in entry["spacing_mm"]) for entry in entries]),
        "orientations": counted([entry["orientation"] for entry in entries]),
        "median_intensities": {modality: spread(values) for modality, values in medians.items() if values},
        "volumes_ml": {region: spread([case[region] for case in labelled]) for region in REGIONS if labelled},
        "without_region": {region: sum(case[region] == 0 for case in labelled) for region in REGIONS if labelled},
    }
