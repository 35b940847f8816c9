"""How far intensity alone separates the tumour's regions, modality by modality, in a cohort of BraTS 2018's layout.

For each region a Gaussian classifier (quadratic discriminant) is fitted to the voxels of every second case and applied
to the others. It knows nothing of place, shape or neighbours: its Dice says what a modality shows, not what a network
can make of it. The area under the ROC curve compares a region with its surroundings; 0.5 is nothing.

    python benchmarks/phantom_contrast.py FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from pkdr_monai.modalities import MODALITIES

REGIONS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
CHOICES = {**{name: [index] for index, name in enumerate(MODALITIES)}, "all four": [0, 1, 2, 3]}
VOXELS_A_CASE = 60_000
NEAR_MM = 4.0


@dataclass(frozen=True)
class BrainVoxels:
    """The voxels of one case's brain."""

    values: np.ndarray  # (N, 4), each modality with mean 0 and standard deviation 1
    label: np.ndarray  # (N,)
    near_et: np.ndarray  # (N,), whether within NEAR_MM of enhancing tumour
    voxel_ml: float

    def members(self, region: str) -> np.ndarray:
        """Return which voxels belong to a region, ``(N,)``."""
        return np.isin(self.label, REGIONS[region])


def read_cases(folder: Path) -> Iterator[BrainVoxels]:
    """Yield the cases of a folder in the order of their names."""
    for path in sorted(folder.glob("*/*/*_seg.nii.gz"), key=lambda path: path.name):
        image = nib.Nifti1Image.from_filename(path)
        label = np.asarray(image.dataobj)
        stem = path.name.removesuffix("_seg.nii.gz")
        files = [path.with_name(f"{stem}_{name}.nii.gz") for name in MODALITIES]
        images = [np.asarray(nib.Nifti1Image.from_filename(file).dataobj) for file in files]
        brain = np.logical_or.reduce([image > 0 for image in images])
        normal = [(image[brain] - image[image > 0].mean()) / image[image > 0].std() for image in images]
        sizes = image.header.get_zooms()[:3]
        near = np.zeros(label.shape, dtype=bool)
        if (label == 4).any():
            near = ndimage.distance_transform_edt(label != 4, sampling=sizes) <= NEAR_MM
        yield BrainVoxels(np.stack(normal, axis=1), label[brain], near[brain], float(np.prod(sizes)) / 1000.0)


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
    scores = 2 * hits / (np.arange(1, len(score) + 1) + truth.sum())
    return float(score[order][np.argmax(scores)])


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Return the Dice score; 1 when both are empty."""
    total = int(prediction.sum() + truth.sum())
    return 1.0 if total == 0 else 2.0 * float((prediction & truth).sum()) / total


def mean_dice(cases: list[BrainVoxels], region: str, channels: list[int]) -> float:
    """Return the mean Dice over every second case of a classifier fitted to the others, in percent."""
    rng = np.random.default_rng(0)
    values, truth = [], []
    for case in cases[::2]:
        pick = rng.permutation(len(case.label))[:VOXELS_A_CASE]
        values.append(case.values[pick][:, channels])
        truth.append(case.members(region)[pick])
    train, member = np.concatenate(values), np.concatenate(truth)
    threshold = best_threshold(log_ratio(train, member, train), member)
    tests = [
        dice(log_ratio(train, member, case.values[:, channels]) >= threshold, case.members(region))
        for case in cases[1::2]
    ]
    return 100.0 * float(np.mean(tests))


def median_area(cases: list[BrainVoxels], channel: int, rim: bool) -> float:
    """Return the median over cases of the area under the ROC curve: ET within its surroundings, or WT in the brain."""
    areas = []
    for case in cases:
        region = case.members("ET" if rim else "WT")
        rest = case.near_et & ~region if rim else ~region
        first, second = case.values[region, channel], np.sort(case.values[rest, channel])
        if len(first) and len(second):
            areas.append(np.searchsorted(second, first).mean() / len(second))
    return float(np.median(areas))


def main() -> None:
    """Print the volumes and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    cases = list(read_cases(parser.parse_args().folder))
    for region in REGIONS:
        volumes = np.array([case.members(region).sum() * case.voxel_ml for case in cases])
        print(f"{region}: median {np.median(volumes):.0f} mL, {volumes.min():.0f} to {volumes.max():.0f}")
    print(f"\n{len(cases)} cases, {len(cases[::2])} to fit, {len(cases[1::2])} to test\n")
    print("| modality | WT Dice | TC Dice | ET Dice | WT area | ET area |\n|---|---|---|---|---|---|")
    for name, channels in CHOICES.items():
        row = [f"{mean_dice(cases, region, channels):.0f}" for region in REGIONS]
        single = len(channels) == 1
        row += [f"{median_area(cases, channels[0], rim):.2f}" if single else "" for rim in (False, True)]
        print(f"| {name} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
