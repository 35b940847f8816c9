"""What the shipped weights find in heads without a tumour: `python -m experiments.healthy_heads`.

Twenty healthy heads of the wide synthetic setting, which no training has seen, are segmented from all four modalities
and from each by itself. The volume of the whole tumour found in each, in mL, is written as CSV. It should be 0.
"""

from __future__ import annotations

import csv
import io
import itertools
import statistics
import sys
from collections.abc import Iterator

from experiments.shipped import find_regions
from experiments.steps import ROOT
from pkdr_monai.files import atomic_write
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.wide import make_wide_case, wide_grade
from pkdr_monai.regions import REGIONS

HEADS = 20
SEED = 6_000_000  # far from those of the cohorts, which are 64-bit hashes
SUBSETS = (MODALITIES, *((modality,) for modality in MODALITIES))
VOXEL_ML = 0.008  # voxels of 2 mm
RESULT = ROOT / "experiments" / "results" / "weights" / "healthy_heads.csv"


def main() -> int:
    """Segment the heads and write the volumes."""
    names = ["+".join(subset) for subset in SUBSETS]
    rows = []
    for seed in itertools.islice(_healthy_seeds(), HEADS):
        head = make_wide_case(seed)
        found = (find_regions(head, subset)[REGIONS.index("wt")] for subset in SUBSETS)
        rows.append([round(float(whole.sum()) * VOXEL_ML, 3) for whole in found])
        sys.stdout.write(f"head {seed}: {dict(zip(names, rows[-1], strict=True))}\n")
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    with atomic_write(RESULT) as file:
        file.write(text.getvalue().encode())
    for name, volumes in zip(names, zip(*rows, strict=True), strict=True):
        clean = sum(volume <= 1 for volume in volumes)
        sys.stdout.write(f"{name}: at most 1 mL in {clean} of {HEADS}, median {statistics.median(volumes):.2f} mL\n")
    return 0


def _healthy_seeds() -> Iterator[int]:
    return (seed for seed in itertools.count(SEED) if wide_grade(seed) == "none")


if __name__ == "__main__":
    sys.exit(main())
