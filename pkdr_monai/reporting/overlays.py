"""Pictures of a case: three planes through its tumour, with the outlines of truth and prediction; thumbnails."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imsave

from pkdr_monai.drawing import DRAWN, PLANES, REGION_COLOURS, plane
from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.figures import data_uri
from pkdr_monai.reporting.scans import Scan
from pkdr_monai.reporting.volumes import brain_box, centre_of, grey_levels

__all__ = ["overlay", "thumbnail"]

TINTS = {value: to_rgb(REGION_COLOURS[region]) for value, region in ((1, "tc"), (2, "wt"), (3, "et"))}  # of tissues
ABOVE = "#f2f2f2"
THUMBNAIL = 112  # pixels: height and width of a slice in a thumbnail, at most


def overlay(scan: Scan) -> str:
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
    for region in DRAWN:
        outline = plane(regions[REGIONS.index(region)], axis, index)
        if outline.any():
            axes.contour(outline.astype(float), levels=[0.5], colors=REGION_COLOURS[region], linewidths=1.3)
    axes.text(0.98, 0.03, PLANES[axis], color=ABOVE, transform=axes.transAxes, ha="right", size=8)
    axes.set_axis_off()
