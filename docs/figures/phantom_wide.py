"""Render phantom_wide.png: eight patients of the wide setting, one column each: four modalities and the label.

python docs/figures/phantom_wide.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom import PhantomCase
from pkdr_monai.phantom.wide import make_wide_case

SEEDS = (3, 11, 9, 27, 33, 4, 21, 5)
TITLES = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
COLOURS = {1: "#3b6fd4", 2: "#5cb85c", 4: "#f0c419"}
FIELD = (slice(8, 88), slice(8, 104))  # crops the empty border


def draw_column(axes: np.ndarray, case: PhantomCase) -> None:
    """Draw a patient at the level where its tumour is largest, or through the ventricles of a healthy head."""
    level = int((case.label > 0).sum(axis=(0, 1)).argmax()) if case.label.any() else case.label.shape[2] // 2
    for axis, name in zip(axes, [*MODALITIES, "flair"], strict=True):
        image = case.images[name]
        axis.imshow(image[(*FIELD, level)].T, cmap="gray", vmin=0, vmax=np.percentile(image[image > 0], 99.7))
    label = case.label[(*FIELD, level)].T
    shown = np.ma.masked_where(label == 0, np.searchsorted(list(COLOURS), label))
    colours = ListedColormap(list(COLOURS.values()))
    axes[-1].imshow(shown, cmap=colours, vmin=0, vmax=2, alpha=0.75, interpolation="nearest")
    axes[0].set_title({"HGG": "high grade", "LGG": "low grade", "none": "healthy"}[case.grade], color="white")


def main() -> None:
    """Write phantom_wide.png beside this script."""
    figure, axes = plt.subplots(5, len(SEEDS), figsize=(1.35 * len(SEEDS), 8.2), facecolor="black")
    for column, seed in zip(axes.T, SEEDS, strict=True):
        draw_column(column, make_wide_case(seed))
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, title in zip(axes[:, 0], [*TITLES.values(), "label"], strict=True):
        axis.set_ylabel(title, color="white", fontsize=11)
    figure.subplots_adjust(left=0.03, right=0.995, top=0.96, bottom=0.005, wspace=0.02, hspace=0.03)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=70)


if __name__ == "__main__":
    main()
