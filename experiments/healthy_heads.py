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
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import torch

from experiments.steps import ROOT
from pkdr_monai.data.cases import Case
from pkdr_monai.files import atomic_write
from pkdr_monai.inference.engine import choose_engine
from pkdr_monai.inference.postprocessing import binary_regions
from pkdr_monai.inference.predictor import load_predictor, scan_probabilities
from pkdr_monai.inference.scans import Scan
from pkdr_monai.inference.settings import Settings
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.model_card import ModelCard
from pkdr_monai.phantom.wide_case import make_wide_case, wide_grade
from pkdr_monai.regions import REGIONS

HEADS = 20
SEED = 6_000_000  # far from those of the cohorts, which are 64-bit hashes
RESULT = ROOT / "experiments" / "results" / "weights" / "healthy_heads.csv"


def main() -> int:
    """Segment the heads and write the volumes."""
    card = ModelCard.read(ROOT / "bundle" / "models" / "model.json")
    settings = Settings()
    predictors = [
        load_predictor(seeing, choose_engine(seeing, settings.backend, settings.precision, "cpu"))
        for seeing in (card.seeing(subset) for subset in (MODALITIES, *((modality,) for modality in MODALITIES)))
    ]
    names = ["+".join(predictor.card.modalities) for predictor in predictors]
    rows = []
    for seed in itertools.islice(_healthy_seeds(), HEADS):
        with tempfile.TemporaryDirectory() as folder:
            scan = _written(seed, Path(folder))
            rows.append([round(_whole_tumour_ml(scan_probabilities(scan, [one], settings)), 3) for one in predictors])
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


def _written(seed: int, folder: Path) -> Scan:
    head = make_wide_case(seed)
    for modality, image in head.images.items():
        nib.save(nib.Nifti1Image(image, head.affine), folder / f"head_{modality}.nii.gz")
    return Scan(Case("head", {modality: f"head_{modality}.nii.gz" for modality in MODALITIES}), folder)


def _whole_tumour_ml(probabilities: torch.Tensor) -> float:
    whole = binary_regions(probabilities, 0)[REGIONS.index("wt")]
    return float(whole.sum()) * 8.0 / 1000.0  # voxels of 2 mm


if __name__ == "__main__":
    sys.exit(main())
