"""A run folder, a folder of predictions and a browser, all small; and the images that they belong to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pkdr_monai.networks import PatchVNet, describe_network
from pkdr_monai.reporting.volumes import Predicted, ShownCase
from pkdr_monai.runs.model_card import ModelCard
from tests.conftest import AFFINE, BROWSERS, save, volumes

SETTINGS = {"run_name": "tiny_t2", "modalities": ["t2"], "spacing": [8, 8, 8], "roi_size": [16, 16, 16], "seed": 0}
SWIFTSHADER = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # WebGL without a GPU


def write_scores(folder: Path, file: str, scores: dict[str, Sequence[float]]) -> None:
    """Write a file as MONAI's MetricsSaver does."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{case}/{case}_t2.nii.gz,{','.join(map(str, (*row, np.mean(row))))}" for case, row in scores.items()]
    (folder / file).write_text("\n".join(["filename,class0,class1,class2,mean", *rows]) + "\n")


def save_model(run: Path, network: nn.Module, modalities: tuple[str, ...]) -> None:
    """Write weights and card as a training does."""
    torch.save(network.state_dict(), run / "models" / "model.pt")
    card = ModelCard("tiny", modalities, describe_network(network), spacing=(8, 8, 8), roi_size=(16, 16, 16))
    card.with_weights(run / "models" / "model.pt").write()


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a training run with scores of the given cases, and returns its folder."""

    def make(cases: Sequence[str] = ("a", "b", "c"), weights: bool = False) -> Path:
        run = tmp_path / "runs" / "tiny_t2"
        run.mkdir(parents=True)
        record = {"status": "finished", "settings": SETTINGS, "environment": {"torch": "2.13.0"}}
        (run / "run.json").write_text(json.dumps(record))
        (run / "history.csv").write_text(
            "epoch,loss,segmentation,patch_kd,val_mean_dice,val_mean_dice_tc\n1,0.9,0.5,0.4,,\n2,0.5,0.3,0.2,0.6,0.7\n"
        )
        dice = {case: (0.9 - place / 10, 0.95, 0.5) for place, case in enumerate(cases)}
        write_scores(run / "evaluation", "val_mean_dice_raw.csv", dice)
        hd95 = {case: (10.0 + 100 * (place % 2), 3.0, float("nan")) for place, case in enumerate(cases)}
        write_scores(run / "evaluation", "val_hd95_raw.csv", hd95)
        if weights:
            (run / "models").mkdir()
            torch.manual_seed(0)
            save_model(run, PatchVNet(1, init_filters=2), ("t2",))
        return run

    return make


@pytest.fixture
def make_predictions(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes segmentations that are the truth but for its enhancing tumour."""

    def make(cases: Sequence[str] = ("a", "b", "c"), probabilities: bool = True) -> Path:
        folder = tmp_path / "predictions"
        label = volumes()["seg"]
        label[label == 4] = 1
        for case in cases:
            save(folder / case / f"{case}_seg.nii.gz", label)
            if probabilities:
                regions = np.stack([label == 1, label > 0, label == 4], axis=-1)
                save(folder / case / f"{case}_probabilities.nii.gz", np.where(regions, 0.8, 0.1).astype(np.float32))
        return folder

    return make


@pytest.fixture
def cohort(write_case: Callable[..., Path]) -> Path:
    """Return a data set of the cases a, b and c."""
    return [write_case(case) for case in ("a", "b", "c")].pop()


@pytest.fixture
def scan() -> ShownCase:
    """A case with its truth, and a prediction that misses the enhancing tumour."""
    content = volumes()
    label = content["seg"]
    truth = np.stack([np.isin(label, (1, 4)), label > 0, label == 4])
    found = truth.copy()
    found[2] = False
    probabilities = np.where(found, 0.8, 0.1).astype(np.float32)
    image = content["t2"].astype(np.float32)
    return ShownCase("a", "t2", image, AFFINE, truth, Predicted(found, AFFINE, probabilities))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *SWIFTSHADER])
        yield chromium
        chromium.close()
