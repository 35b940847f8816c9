"""How far intensity alone tells the tumour regions apart, modality by modality, in any cohort of BraTS 2018's layout.

For each region a Gaussian classifier (quadratic discriminant) is fitted to the voxels of every second case and applied
to the others. It knows nothing of place, shape or neighbours: its Dice says what a modality shows, not what a network
can make of it. The area under the ROC curve compares the enhancing tumour with what surrounds it.

    python benchmarks/phantom_contrast.py FOLDER [--smooth 1.0]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from pkdr_monai.modalities import MODALITIES

REGIONS = {"wt": (1, 2, 4), "tc": (1, 4), "et": (4,)}
CHOICES = {**{name: [index] for index, name in enumerate(MODALITIES)}, "all four": [0, 1, 2, 3]}
VOXELS_A_CASE = 60_000


def read_cases(folder: Path, smooth: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield each case's brain voxels: normalised intensities ``(N, 4)``, labels ``(N,)``, and who is near the ET."""
    for path in sorted(folder.glob("*/*/*_seg.nii.gz")):
        label = np.asarray(nib.load(path).dataobj)
        stem = path.name.removesuffix("_seg.nii.gz")
        images = [np.asarray(nib.load(path.with_name(f"{stem}_{name}.nii.gz")).dataobj) for name in MODALITIES]
        brain = np.logical_or.reduce([image > 0 for image in images])
        channels = []
        for image in images:
            values = image[image > 0]
            normal = np.where(image > 0, (image - values.mean()) / values.std(), 0.0)
            channels.append(ndimage.gaussian_filter(normal, smooth)[brain])
        near = ndimage.binary_dilation(label == 4, iterations=3)
        yield np.stack(channels, axis=1), label[brain], near[brain]


def log_ratio(train: np.ndarray, truth: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the log likelihood ratio of region against rest for each row of ``test``."""
    scores = []
    for member in (True, False):
        values = train[truth == member]
        covariance = np.atleast_2d(np.cov(values, rowvar=False))
        offset = test - values.mean(axis=0)
        distance = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset)
        scores.append(np.log(len(values)) - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * distance)
    return scores[0] - scores[1]


def best_threshold(score: np.ndarray, truth: np.ndarray) -> float:
    """Return the threshold with the best Dice."""
    order = np.argsort(-score)
    hits = np.cumsum(truth[order])
    dice = 2 * hits / (np.arange(1, len(score) + 1) + truth.sum())
    return float(score[order][np.argmax(dice)])


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice score; 1 when both are empty."""
    total = int(prediction.sum() + truth.sum())
    return 1.0 if total == 0 else 2.0 * float((prediction & truth).sum()) / total


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """Return the probability that a draw from ``first`` exceeds one from ``second``."""
    if not len(first) or not len(second):
        return float("nan")
    return float(np.mean(np.searchsorted(np.sort(second), first)) / len(second))


def main() -> None:
    """Print a table of Dice and one of areas under the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smooth", type=float, default=0.0, help="Gaussian blur before classification, in voxels")
    arguments = parser.parse_args()
    cases = list(read_cases(arguments.folder, arguments.smooth))
    rng = np.random.default_rng(0)
    picks = [rng.choice(len(label), min(VOXELS_A_CASE, len(label)), replace=False) for _, label, _ in cases[::2]]
    train = np.concatenate([case[0][pick] for case, pick in zip(cases[::2], picks, strict=True)])
    labels = np.concatenate([case[1][pick] for case, pick in zip(cases[::2], picks, strict=True)])
    print(f"{len(cases)} cases, {len(cases[::2])} to fit, {len(cases[1::2])} to test; mean Dice in %")
    print("| modality | WT | TC | ET |\n|---|---|---|---|")
    for name, channels in CHOICES.items():
        row = []
        for members in REGIONS.values():
            truth = np.isin(labels, members)
            score = log_ratio(train[:, channels], truth, train[:, channels])
            threshold = best_threshold(score, truth)
            tests = [
                dice(log_ratio(train[:, channels], truth, v[:, channels]) >= threshold, np.isin(y, members))
                for v, y, _ in cases[1::2]
            ]
            row.append(100 * float(np.mean(tests)))
        print(f"| {name} | " + " | ".join(f"{value:.1f}" for value in row) + " |", flush=True)
    print("\narea under the ROC curve, ET against the non-ET voxels within 3 voxels of it, median over cases")
    for index, name in enumerate(MODALITIES):
        areas = [auc(v[y == 4, index], v[near & (y != 4), index]) for v, y, near in cases]
        areas_wt = [auc(v[y > 0, index], v[y == 0, index]) for v, y, near in cases]
        print(f"| {name} | {np.nanmedian(areas):.2f} | WT against brain {np.nanmedian(areas_wt):.2f} |")


if __name__ == "__main__":
    main()
