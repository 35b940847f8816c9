"""The cases that a report shows: pictures, volumes for the viewer, and how well probabilities hold."""

from __future__ import annotations

import base64
import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imsave

from pkdr_monai.drawing import PLANES, REGION_COLOURS, plane
from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS, SHOWN
from pkdr_monai.reporting.figures import data_uri
from pkdr_monai.reporting.run import METRICS
from pkdr_monai.reporting.sources import Sources
from pkdr_monai.reporting.volumes import Segmentation, ShownCase

if TYPE_CHECKING:
    from pkdr_monai.reporting.computed import Calibration

__all__ = [
    "VIEWER_BUDGET",
    "Gallery",
    "PicturedCase",
    "ViewerCase",
    "brain_box",
    "centre_of",
    "grey_levels",
    "measure_all",
    "overlay",
    "picture_cases",
    "preview_cases",
    "thumbnail",
    "tissues",
    "viewer_case",
]

TINTS = {value: to_rgb(REGION_COLOURS[region]) for value, region in ((1, "tc"), (2, "wt"), (3, "et"))}  # of tissues
ABOVE = "#f2f2f2"
THUMBNAIL = 112  # pixels: height and width of a slice in a thumbnail, at most
MARGIN = 2  # voxels around the brain
BRIGHTEST = 99.5  # percentile of the brain that becomes white


def overlay(scan: ShownCase) -> str:
    """Draw truth and prediction over three planes, a row each, as a PNG in a ``data:`` link.

    The planes pass where the true tumour is largest, or the predicted one where there is no truth.

    Args:
        scan: the case; its left is shown on the right, as radiologists look at it.
    """
    box = brain_box(scan)
    image = grey_levels(scan.image)[box]
    rows = [(name, regions[(slice(None), *box)]) for name, regions in scan.regions.items()]
    spacing = np.linalg.norm(scan.affine[:3, :3], axis=0)
    extent = np.array(image.shape) * spacing
    widths = [extent[1], extent[0], extent[0]]  # of the planes in mm
    heights = [extent[2], extent[2], extent[1]]
    inch = 8.2 / sum(widths)
    figure = Figure(figsize=(8.2, max(heights) * inch * max(1, len(rows))), facecolor="black")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        max(1, len(rows)), 3, squeeze=False, gridspec_kw={"width_ratios": widths, "wspace": 0.01, "hspace": 0.01}
    )
    figure.subplots_adjust(0, 0, 1, 1)
    centre = centre_of(rows[0][1][REGIONS.index("wt")] if rows else image > 0)
    for row, (name, regions) in zip(panels, rows or [("", np.zeros((3, *image.shape), bool))], strict=True):
        row[0].text(0.02, 0.97, name, color=ABOVE, transform=row[0].transAxes, va="top", size=10)
        for axis, axes in enumerate(row):
            _draw_plane(axes, image, regions, axis, centre[axis], spacing)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, facecolor="black")
    return data_uri("image/png", file.getvalue())


def thumbnail(images: Sequence[np.ndarray], tissue: np.ndarray | None) -> str:
    """Draw one axial slice of several modalities side by side, tinted by tissue, as a small JPEG in a ``data:`` link.

    Args:
        images: volumes of one grid, ``(X, Y, Z)`` each, in RAS.
        tissue: 1 core without ET, 2 oedema, 3 ET, ``(X, Y, Z)``, or ``None``.
    """
    shown = np.maximum.reduce([image != 0 for image in images]) if tissue is None else tissue > 0
    depth = centre_of(shown if shown.any() else images[0] != 0)[2]
    tiles = []
    for image in images:
        step = max(1, -(-max(image.shape[:2]) // THUMBNAIL))
        tile = np.repeat(plane(grey_levels(image), 2, depth)[::step, ::step, None], 3, axis=2)
        if tissue is not None:
            labels = plane(tissue, 2, depth)[::step, ::step]
            for value, tint in TINTS.items():
                tile[labels == value] = (0.6 * tile[labels == value] + 102 * np.array(tint)).astype(np.uint8)
        tiles.append(tile)
    file = io.BytesIO()
    imsave(file, np.concatenate(tiles, axis=1), format="jpeg", pil_kwargs={"quality": 82})
    return data_uri("image/jpeg", file.getvalue())


def _draw_plane(axes: Axes, image: np.ndarray, regions: np.ndarray, axis: int, index: int, spacing: np.ndarray) -> None:
    across, up = (size for other, size in enumerate(spacing) if other != axis)
    axes.imshow(plane(image, axis, index), cmap="gray", vmin=0, vmax=255, aspect=up / across, interpolation="bilinear")
    for region in SHOWN:
        outline = plane(regions[REGIONS.index(region)], axis, index)
        if outline.any():
            axes.contour(outline.astype(float), levels=[0.5], colors=REGION_COLOURS[region], linewidths=1.3)
    axes.text(0.98, 0.03, PLANES[axis], color=ABOVE, transform=axes.transAxes, ha="right", size=8)
    axes.set_axis_off()


VIEWER_BUDGET = 20_000_000  # characters of volumes in a page; NiiVue takes 2.3 million more, a picture 0.3

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PicturedCase:
    """A case with its picture; ``viewer`` is its place in the viewer, or ``None``."""

    name: str
    overlay: str
    alt: str
    caption: str
    viewer: int | None = None


@dataclass
class Gallery:
    """What was made of the cases, and what could not be made of them."""

    pictured: list[PicturedCase] = field(default_factory=list)
    viewer: list[ViewerCase] = field(default_factory=list)
    calibration: Calibration | None = None
    notes: list[str] = field(default_factory=list)


def picture_cases(
    names: Sequence[str],
    sources: Sources,
    calibration: Calibration | None = None,
    budget: int = VIEWER_BUDGET,
    progress: Progress | None = None,
) -> Gallery:
    """Draw cases, and make them ready for the viewer. A case that cannot be read becomes a note.

    Args:
        names: the cases, in the order in which they are shown.
        sources: where they come from.
        calibration: takes up every case that can be read.
        budget: characters that the viewer's volumes may take; cases beyond have their picture alone.
        progress: called after each case with the number done and the total.
    """
    gallery, size = Gallery(calibration=calibration), 0
    for done, name in enumerate(names, start=1):
        scan = _scan(name, sources, "A picture", gallery.notes)
        if scan is not None:
            if calibration is not None:
                calibration.add(scan)
            volumes = viewer_case(scan)
            place = len(gallery.viewer) if size + volumes.size <= budget else None
            if place is None:
                gallery.notes.append(f"{name} in the viewer: the page would grow too large. Ask for fewer cases.")
            else:
                size += volumes.size
                gallery.viewer.append(volumes)
            gallery.pictured.append(PicturedCase(name, overlay(scan), _described(scan), _caption(scan), place))
        if progress is not None:
            progress(done, len(names))
    return gallery


def preview_cases(names: Sequence[str], segmentations: dict[str, Segmentation]) -> Gallery:
    """Show the previews that lie beside segmentations, where there are no images to draw."""
    gallery = Gallery()
    for name in names:
        preview = segmentations[name].preview if name in segmentations else None
        if preview is not None:
            alt = f"Preview of {name}, as it was drawn with its segmentation."
            gallery.pictured.append(PicturedCase(name, data_uri("image/png", preview.read_bytes()), alt, preview.name))
    return gallery


def measure_all(
    names: Sequence[str], sources: Sources, calibration: Calibration, progress: Progress | None = None
) -> tuple[dict[str, dict[str, tuple[float, ...]]], list[str]]:
    """Score cases that no evaluation has scored.

    Args:
        names: the cases.
        sources: where they come from.
        calibration: takes up every case that can be read.
        progress: called after each case with the number done and the total.

    Returns:
        The scores, by metric and case, of the cases with a label, and a note for each case that could not be read.
    """
    from pkdr_monai.reporting.computed import dice, hd95  # here, because it loads torch and MONAI

    scores: dict[str, dict[str, tuple[float, ...]]] = {}
    notes: list[str] = []
    for done, name in enumerate(names, start=1):
        scan = _scan(name, sources, "Scores", notes)
        if scan is not None and scan.truth is not None and scan.prediction is not None:
            calibration.add(scan)
            for metric, measured in (("dice", dice), ("hd95", hd95)):
                scores.setdefault(metric, {})[name] = measured(scan)
        if progress is not None:
            progress(done, len(names))
    return scores, notes


def _scan(name: str, sources: Sources, wanted: str, notes: list[str]) -> ShownCase | None:
    """Return a case, or ``None`` after noting what the report lacks without it."""
    try:
        return sources.scan(name)
    except InputError as error:
        notes.append(f"{wanted} of {name}: {error}")
        return None


def _caption(scan: ShownCase) -> str:
    if scan.prediction is None:
        return f"{scan.modality}; no prediction is at hand."
    if scan.truth is None:
        return f"{scan.modality}; the case has no label."
    from pkdr_monai.reporting.computed import dice

    values = zip(REGIONS, dice(scan), strict=True)
    scores = ", ".join(f"{region.upper()} {value:.{METRICS['dice'].decimals}f}" for region, value in values)
    return f"{scan.modality}; Dice of the prediction shown: {scores}."


def _described(scan: ShownCase) -> str:
    outlines = f" with outlines of {' and '.join(scan.regions)}" if scan.regions else ""
    return f"Sagittal, coronal and axial slice of {scan.case} ({scan.modality}){outlines}."


@dataclass(frozen=True)
class ViewerCase:
    """A case for the viewer: NIfTI volumes as base64 of gzip.

    Args:
        case: its name.
        modality: the modality that ``image`` is.
        volumes: ``"image"`` (grey levels), and ``"truth"`` and ``"prediction"`` (:func:`tissues`) where they are there.
        centre: where the cross-hair starts, as parts of the volume along its axes.
    """

    case: str
    modality: str
    volumes: dict[str, str]
    centre: tuple[float, ...]

    @property
    def size(self) -> int:
        """Characters that it takes in a page."""
        return sum(len(volume) for volume in self.volumes.values())


def viewer_case(scan: ShownCase) -> ViewerCase:
    """Make a case small enough for a page.

    Args:
        scan: the case.
    """
    box = brain_box(scan)
    affine = scan.affine.copy()
    affine[:3, 3] = scan.affine[:3, :3] @ [part.start for part in box] + scan.affine[:3, 3]
    volumes = {"image": grey_levels(scan.image)}
    volumes |= {name: tissues(regions) for name, regions in scan.regions.items()}
    volumes = {name: volume[box] for name, volume in volumes.items()}
    middle = centre_of(volumes.get("truth", volumes.get("prediction", volumes["image"])) > 0)
    centre = tuple(round((index + 0.5) / size, 4) for index, size in zip(middle, volumes["image"].shape, strict=True))
    encoded = {name: _encoded(volume, affine) for name, volume in volumes.items()}
    return ViewerCase(scan.case, scan.modality, encoded, centre)


def centre_of(mask: np.ndarray) -> tuple[int, int, int]:
    """Return, for each axis, the slice that holds the most of a mask; the middle where it is empty.

    Example:
        >>> centre_of(np.arange(27).reshape(3, 3, 3) == 5)
        (0, 1, 2)
    """
    if not mask.any():
        x, y, z = (size // 2 for size in mask.shape)
        return x, y, z
    x, y, z = (int(mask.sum(axis=tuple(other for other in range(3) if other != axis)).argmax()) for axis in range(3))
    return x, y, z


def brain_box(scan: ShownCase) -> tuple[slice, ...]:
    """Return the box around all that is not 0 in a case's image or regions, with a small margin."""
    shown = scan.image != 0
    for regions in scan.regions.values():
        shown = shown | regions.any(axis=0)
    if not shown.any():
        return tuple(slice(0, size) for size in shown.shape)
    box = []
    for axis, size in enumerate(shown.shape):
        filled = np.flatnonzero(shown.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(0, int(filled[0]) - MARGIN), min(size, int(filled[-1]) + 1 + MARGIN)))
    return tuple(box)


def grey_levels(image: np.ndarray) -> np.ndarray:
    """Map an image to uint8: 0 stays 0, the brain's brightest half percent is white.

    Example:
        >>> grey_levels(np.array([0.0, 50.0, 100.0])).tolist()
        [0, 127, 255]
    """
    image = np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)
    brain = image[image != 0]
    if not brain.size:
        return np.zeros(image.shape, np.uint8)
    low, high = min(0.0, float(brain.min())), float(np.percentile(brain, BRIGHTEST))
    return (255 * np.clip((image - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def tissues(regions: np.ndarray) -> np.ndarray:
    """Turn the regions TC, WT, ET into a map of tissues: 1 core without ET, 2 oedema, 3 ET; the smaller region wins.

    Example:
        >>> tissues(np.array([[0, 1, 0, 1], [0, 1, 1, 1], [0, 0, 0, 1]], bool).reshape(3, 4, 1, 1)).ravel().tolist()
        [0, 1, 2, 3]
    """
    core, whole, enhancing = regions
    return np.select([enhancing, core, whole], [3, 1, 2], 0).astype(np.uint8)


def _encoded(volume: np.ndarray, affine: np.ndarray) -> str:
    image = nib.Nifti1Image(np.asfortranarray(volume), affine)
    image.header.set_xyzt_units("mm")
    return base64.b64encode(gzip.compress(image.to_bytes(), 9, mtime=0)).decode()
