"""The shipped weights on a synthetic patient that has no file: what the figure and the healthy heads share."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import nibabel as nib
import torch

from experiments.steps import ROOT
from pkdr_monai.data.cases import Case
from pkdr_monai.inference.backends import choose_engine
from pkdr_monai.inference.postprocessing import binary_regions
from pkdr_monai.inference.predictor import Predictor, Settings, load_predictor, scan_probabilities
from pkdr_monai.inference.scans import Scan
from pkdr_monai.phantom import PhantomCase
from pkdr_monai.runs.model_card import ModelCard

__all__ = ["find_regions"]


def find_regions(case: PhantomCase, modalities: tuple[str, ...]) -> torch.Tensor:
    """Segment a patient from some of its modalities.

    Args:
        case: the patient.
        modalities: what the network sees.

    Returns:
        TC, WT and ET as ``pkdr predict`` finds them, ``(3, X, Y, Z)``, boolean.
    """
    with tempfile.TemporaryDirectory() as folder:
        for modality in modalities:
            nib.save(nib.Nifti1Image(case.images[modality], case.affine), Path(folder, f"head_{modality}.nii.gz"))
        scan = Scan(Case("head", {modality: f"head_{modality}.nii.gz" for modality in modalities}), Path(folder))
        return binary_regions(scan_probabilities(scan, [_predictor(modalities)], Settings()), 0)


@functools.cache
def _predictor(modalities: tuple[str, ...]) -> Predictor:
    card = ModelCard.read(ROOT / "bundle" / "models" / "model.json").seeing(modalities)
    settings = Settings()
    return load_predictor(card, choose_engine(card, settings.backend, settings.precision, torch.device("cpu")))
