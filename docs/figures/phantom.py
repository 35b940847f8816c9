"""Render phantom.png: a high-grade and a low-grade synthetic case, their four modalities and their labels.

python docs/figures/phantom.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom import PhantomCase, make_case

SEEDS = {"HGG": 32, "LGG": 18}
TITLES = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
REGIONS = {1: ("necrotic / non-enhancing core", "#3b6fd4"), 2: ("oedema", "#5cb85c"), 4: ("enhancing", "#f0c419")}
FIELD = (slice(44, 196), slice(24, 216))  # crops the empty border


def axial(volume: np.ndarray, level: int) -> np.ndarray:
    """Return an axial slice as radiologists see it: the front up, the patient's right on the left."""
    return volume[FIELD[0], FIELD[1], level].T


def draw_row(axes: np.ndarray, case: PhantomCase) -> None:
    """Draw a case at the level where its core is largest."""
    level = int(np.isin(case.label, (1, 4)).sum(axis=(0, 1)).argmax())
    for axis, modality in zip(axes, MODALITIES, strict=False):
        image = case.images[modality]
        axis.imshow(axial(image, level), cmap="gray", vmin=0, vmax=np.percentile(image[image > 0], 99.7))
    image = case.images["flair"]
    axes[-1].imshow(axial(image, level), cmap="gray", vmin=0, vmax=np.percentile(image[image > 0], 99.7))
    colours = ListedColormap([colour for _, colour in REGIONS.values()])
    codes = np.searchsorted(list(REGIONS), case.label)
    shown = np.ma.masked_where(case.label == 0, codes)
    axes[-1].imshow(axial(shown, level), cmap=colours, vmin=0, vmax=2, alpha=0.75, interpolation="nearest")
    axes[0].set_ylabel({"HGG": "high grade", "LGG": "low grade"}[case.grade], color="white", fontsize=13)


def main() -> None:
    """Write phantom.png beside this script."""
    figure, axes = plt.subplots(2, 5, figsize=(12.2, 6.6), facecolor="black")
    for row, (grade, seed) in zip(axes, SEEDS.items(), strict=True):
        draw_row(row, make_case(seed, grade=grade))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, title in zip(axes[0], [*TITLES.values(), "label on FLAIR"], strict=True):
        axis.set_title(title, color="white", fontsize=13)
    patches = [Patch(color=colour, label=name) for name, colour in REGIONS.values()]
    figure.legend(handles=patches, loc="lower right", ncols=3, frameon=False, labelcolor="white", fontsize=11)
    figure.subplots_adjust(left=0.03, right=0.995, top=0.94, bottom=0.06, wspace=0.02, hspace=0.03)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)


if __name__ == "__main__":
    main()
