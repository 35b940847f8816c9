"""One picture to look at before a viewer is opened: three cuts through the tumour, with its regions outlined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pkdr_monai import DISCLAIMER
from pkdr_monai.files import atomic_write
from pkdr_monai.regions import REGIONS

__all__ = ["draw_preview"]

COLOURS = {"wt": "#5cb85c", "tc": "#3b9dd4", "et": "#f0c419"}
DRAWN = ("wt", "tc", "et")  # the larger region first, so that the smaller one lies on top
NAMES = {"wt": "WT, whole tumour", "tc": "TC, tumour core", "et": "ET, enhancing tumour"}
CUTS = {"sagittal": 0, "coronal": 1, "axial": 2}


def draw_preview(path: Path, image: np.ndarray, regions: np.ndarray, affine: np.ndarray, lines: Sequence[str]) -> None:
    """Draw a PNG, atomically: cuts where the whole tumour is largest, or through the middle where there is none.

    Axial and coronal cuts show the patient's right on the left, as radiologists have it; the back is on the right of
    the sagittal one. Proportions are those of the patient.

    Args:
        path: file to write.
        image: the scan, ``(X, Y, Z)``.
        regions: TC, WT, ET, ``(3, X, Y, Z)``.
        affine: voxel index to position in mm, ``(4, 4)``.
        lines: what to write above, a line each.
    """
    volume, sizes = _upright(image, affine)
    upright = {region: _upright(part, affine)[0] for region, part in zip(REGIONS, regions, strict=True)}
    figure = Figure(figsize=(12, 5), facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3)
    brightest = float(np.percentile(volume[volume > 0], 99.5)) if (volume > 0).any() else 1.0
    for axis, (title, normal) in zip(axes, CUTS.items(), strict=True):
        level = _largest_cut(upright["wt"], normal)
        across, up = (number for number in range(3) if number != normal)
        axis.imshow(
            _cut(volume, normal, level),
            cmap="gray",
            vmin=0,
            vmax=brightest,
            origin="lower",
            aspect=sizes[up] / sizes[across],
        )
        _outline(axis, {region: _cut(part, normal, level) for region, part in upright.items()})
        axis.set_title(title, color="white", fontsize=10)
        axis.set_axis_off()
    figure.suptitle("\n".join(lines), color="white", fontsize=11)
    handles = [Line2D([], [], color=COLOURS[region], label=NAMES[region]) for region in DRAWN]
    figure.legend(handles=handles, loc="lower right", ncols=3, frameon=False, labelcolor="white", fontsize=9)
    figure.text(0.01, 0.02, DISCLAIMER, color="white", fontsize=9)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.82, bottom=0.09, wspace=0.03)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=80)


def _upright(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a volume so that its axes run to the left, the back and the top, and return it with its voxel's sizes."""
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(("L", "P", "S")))
    sizes = np.empty(3)
    sizes[turn[:, 0].astype(int)] = nib.affines.voxel_sizes(affine)
    return nib.apply_orientation(volume, turn), sizes


def _largest_cut(whole: np.ndarray, normal: int) -> int:
    areas = whole.sum(axis=tuple(axis for axis in range(3) if axis != normal))
    return int(areas.argmax()) if areas.any() else whole.shape[normal] // 2


def _cut(volume: np.ndarray, normal: int, level: int) -> np.ndarray:
    """Return a cut as ``imshow`` takes it with its origin below; an axial one is turned so that the front is up."""
    plane = np.take(volume, level, axis=normal).T
    return plane[::-1] if normal == CUTS["axial"] else plane


def _outline(axis: Axes, cuts: dict[str, np.ndarray]) -> None:
    for region in DRAWN:
        if cuts[region].any() and min(cuts[region].shape) > 1:
            axis.contour(cuts[region], levels=[0.5], colors=COLOURS[region], linewidths=1.2)
