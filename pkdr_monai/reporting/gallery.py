"""The cases that a report shows: pictures, volumes for the viewer, and how well probabilities hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.figures import data_uri
from pkdr_monai.reporting.overlays import overlay
from pkdr_monai.reporting.scans import Scan
from pkdr_monai.reporting.scores import METRICS
from pkdr_monai.reporting.segmentations import Segmentation
from pkdr_monai.reporting.sources import Sources
from pkdr_monai.reporting.volumes import ViewerCase, viewer_case

if TYPE_CHECKING:
    from pkdr_monai.reporting.calibration import Calibration

__all__ = ["VIEWER_BUDGET", "Gallery", "PicturedCase", "measure_all", "picture_cases", "preview_cases"]

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
    from pkdr_monai.reporting.measure import dice, hd95  # here, because it loads torch and MONAI

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


def _scan(name: str, sources: Sources, wanted: str, notes: list[str]) -> Scan | None:
    """Return a case, or ``None`` and a note on what is wanting because of it."""
    try:
        return sources.scan(name)
    except InputError as error:
        notes.append(f"{wanted} of {name}: {error}")
        return None


def _caption(scan: Scan) -> str:
    if scan.prediction is None:
        return f"{scan.modality}; no prediction is at hand."
    if scan.truth is None:
        return f"{scan.modality}; the case has no label."
    from pkdr_monai.reporting.measure import dice

    values = zip(REGIONS, dice(scan), strict=True)
    scores = ", ".join(f"{region.upper()} {value:.{METRICS['dice'].decimals}f}" for region, value in values)
    return f"{scan.modality}; Dice of the prediction shown: {scores}."


def _described(scan: Scan) -> str:
    outlines = f" with outlines of {' and '.join(scan.regions)}" if scan.regions else ""
    return f"Sagittal, coronal and axial slice of {scan.case} ({scan.modality}){outlines}."
