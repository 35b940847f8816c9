"""Render weights_failures.png: where the shipped weights fail, on synthetic patients that no training has seen.

python docs/figures/weights_failures.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for experiments

from experiments.shipped import find_regions
from pkdr_monai.drawing import DRAWN, REGION_COLOURS, in_ras, plane
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.wide import make_wide_case
from pkdr_monai.regions import REGIONS, label_to_regions

ALL = tuple(MODALITIES)
PICTURES = (  # seed, what the network sees, title
    (7_000_005, ("t1",), "T1 alone:\nnext to nothing"),
    (7_000_003, ("t2",), "T2 alone:\na tumour missed"),
    (7_000_000, ("flair",), "FLAIR alone: enhancing\ntumour is guesswork"),
    (7_000_004, ALL, "all four: no core\nin a low grade"),
    (6_000_201, ("t2",), "T2 alone:\na head without tumour"),
)
ROWS = ("seen", "truth", "found")


def draw_column(axes: np.ndarray, seed: int, modalities: tuple[str, ...], title: str) -> None:
    """Draw a patient at the level where truth and finding together are largest."""
    case = make_wide_case(seed)
    truth = label_to_regions(torch.from_numpy(case.label)[None]).numpy() > 0
    found = find_regions(case, modalities).numpy()
    whole = truth[REGIONS.index("wt")] | found[REGIONS.index("wt")]
    level = int(in_ras(whole, case.affine)[0].sum(axis=(0, 1)).argmax())
    image = in_ras(case.images[modalities[-1]], case.affine)[0]
    for axis, regions in zip(axes, (None, truth, found), strict=True):
        axis.imshow(plane(image, 2, level), cmap="gray", vmin=0, vmax=np.percentile(image[image > 0], 99.7))
        for name in DRAWN if regions is not None else ():
            region = plane(in_ras(regions[REGIONS.index(name)].astype(np.uint8), case.affine)[0], 2, level)
            shown = np.ma.masked_where(region == 0, region)
            axis.imshow(shown, cmap=ListedColormap([REGION_COLOURS[name]]), alpha=0.75, interpolation="nearest")
    axes[0].set_title(title, color="white", fontsize=9)


def main() -> None:
    """Write weights_failures.png beside this script."""
    figure, axes = plt.subplots(len(ROWS), len(PICTURES), figsize=(1.7 * len(PICTURES), 6.4), facecolor="black")
    for column, picture in zip(axes.T, PICTURES, strict=True):
        draw_column(column, *picture)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, title in zip(axes[:, 0], ROWS, strict=True):
        axis.set_ylabel(title, color="white", fontsize=11)
    figure.subplots_adjust(left=0.03, right=0.995, top=0.92, bottom=0.005, wspace=0.02, hspace=0.03)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=80)


if __name__ == "__main__":
    main()
