"""One picture to look at before a viewer is opened: three cuts through the tumour, with its regions outlined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkdr_monai import DISCLAIMER
from pkdr_monai.drawing import DRAWN, PLANES, REGION_COLOURS, REGION_NAMES, in_ras, plane
from pkdr_monai.files import atomic_write
from pkdr_monai.regions import REGIONS

__all__ = ["draw_preview"]


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
    handles = [Line2D([], [], color=REGION_COLOURS[region], label=REGION_NAMES[region]) for region in DRAWN]
    figure.legend(handles=handles, loc="lower right", ncols=3, frameon=False, labelcolor="white", fontsize=9)
    figure.text(0.01, 0.02, DISCLAIMER, color="white", fontsize=9)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.82, bottom=0.09, wspace=0.03)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=80)


def _largest_cut(whole: np.ndarray, normal: int) -> int:
    areas = whole.sum(axis=tuple(axis for axis in range(3) if axis != normal))
    return int(areas.argmax()) if areas.any() else whole.shape[normal] // 2


def _outline(axis: Axes, cuts: dict[str, np.ndarray]) -> None:
    for region in DRAWN:
        if cuts[region].any() and min(cuts[region].shape) > 1:
            axis.contour(cuts[region], levels=[0.5], colors=REGION_COLOURS[region], linewidths=1.2)
