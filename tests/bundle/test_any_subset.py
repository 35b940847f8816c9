"""One student for any subset: trained with the strong recipe on patients drawn as it goes, run through the bundle."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pkdr_monai.inference import predict
from pkdr_monai.networks import PatchVNet
from pkdr_monai.runs.model_card import ModelCard

from .conftest import CONFIGS, Bundle

ANY_SUBSET, STRONG, SYNTHETIC = (CONFIGS / f"{name}.json" for name in ("any_subset", "strong_train", "synthetic_train"))
INFERENCE = CONFIGS / "inference.json"
DRAWN = {"patients_per_epoch": 4, "patient_shape": [40, 48, 36], "num_workers": 1}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "model.pt"
    torch.save(PatchVNet(4, init_filters=2, patch_head=True).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def run(bundle: Bundle, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "any_subset"
    return bundle.train(folder, ANY_SUBSET, STRONG, teacher_checkpoint=teacher, initial_weights=teacher)


def test_the_card_says_that_it_serves_any_subset(run: Path) -> None:
    card = ModelCard.read(run / "models" / "model.json")
    assert card.any_subset
    assert card.seeing(["flair"]).network["available"] == ["flair"]


@pytest.mark.parametrize("modality", ["flair", "t1+t2", "all"])
def test_the_bundle_writes_the_label_map_that_predict_writes(
    bundle: Bundle, run: Path, modality: str, tmp_path: Path
) -> None:
    bundle.run(
        "evaluating",
        INFERENCE,
        ckpt_dir=run / "models",
        dataset_dir=bundle.cohort,
        modality=modality,
        output_dir=tmp_path / "bundle",
        amp=False,
    )
    names = ("t1", "t1ce", "t2", "flair") if modality == "all" else modality.split("+")
    case = next(path for path in sorted(bundle.cohort.glob("*/*")) if path.is_dir())
    named = {name: case / f"{case.name}_{name}.nii.gz" for name in names}
    from pkdr_monai.inference import Settings

    predict(
        output=tmp_path / "out", named=named, model=run / "models" / "model.pt", settings=Settings(precision="float32")
    )
    ours = np.asarray(nib.load(next((tmp_path / "out").glob("*/*_seg.nii.gz"))).dataobj)
    theirs = np.asarray(nib.load(tmp_path / "bundle" / f"{case.name}_{names[0]}_seg.nii.gz").dataobj)
    assert (ours != theirs).mean() < 1e-3


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_on_drawn_patients_that_was_cut_short_ends_as_an_uninterrupted_one(
    bundle: Bundle, teacher: Path, tmp_path: Path, workers: int
) -> None:
    settings = {**DRAWN, "num_workers": workers, "teacher_checkpoint": teacher, "val_interval": 2}
    overlays = (ANY_SUBSET, STRONG, SYNTHETIC)
    whole = bundle.train(tmp_path / "whole", *overlays, **settings)
    bundle.train(tmp_path / "cut", *overlays, **settings, max_epochs=2, **{"train#trainer#max_epochs": 1})
    cut = bundle.train(tmp_path / "cut", *overlays, **settings, resume=True)
    weights = [torch.load(folder / "models" / "model_last.pt", weights_only=True) for folder in (whole, cut)]
    torch.testing.assert_close(weights[1], weights[0], rtol=0, atol=0)
