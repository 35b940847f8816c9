"""A tiny synthetic cohort, and models that segment something of it without having been trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pkdr_monai.data.preprocessing import preprocessing
from pkdr_monai.inference.scans import Scan, find_scans
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.networks import PatchVNet, describe_network
from pkdr_monai.phantom import write_cohort
from pkdr_monai.runs.model_card import Evaluation, ModelCard

SPACING = (6.0, 6.0, 6.0)
SHARES = torch.tensor([0.97, 0.94, 0.985])  # of a box outside TC, WT and ET


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, cases=2, shape=(40, 40, 32), spacing=SPACING, seed=3)
    return folder


@pytest.fixture(scope="session")
def scan(cohort: Path) -> Scan:
    return find_scans([cohort])[0]


def untrained(scan: Scan, modalities: tuple[str, ...], **arguments: Any) -> PatchVNet:
    """Return a network that calls the voxels of a few percent of a scan tumour: those that it answers most to."""
    torch.manual_seed(len(modalities))
    network = PatchVNet(len(modalities), init_filters=2, **arguments)
    image = preprocessing(SPACING)(scan.item(modalities))["image"].as_tensor()[None]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(image)
        logits = network.eval()(image)[0].flatten(1)
        network.output.bias -= torch.stack([row.quantile(share) for row, share in zip(logits, SHARES, strict=True)])
    return network


@pytest.fixture(scope="session")
def make_model(scan: Scan) -> Callable[..., ModelCard]:
    """Return a function that writes a model and its card into a run's folder, and returns the card."""

    def make(
        folder: Path, modalities: tuple[str, ...] = ("flair",), dice: float | None = 0.8, patch_size: int = 16
    ) -> ModelCard:
        network = untrained(scan, modalities, patch_head=modalities == MODALITIES, patch_size=patch_size)
        weights = folder / "models" / "model.pt"
        weights.parent.mkdir(parents=True)
        torch.save(network.state_dict(), weights)
        card = ModelCard(folder.name, modalities, describe_network(network), SPACING, (32, 32, 32))
        if dice is not None:
            scores = [[dice, dice, 0.3], [dice, dice, 0.5]]
            card = replace(card, evaluation=Evaluation.of_scores(scores, {"name": "cohort"}, "test"))
        card = card.with_weights(weights)
        card.write()
        return card

    return make


@pytest.fixture(scope="session")
def runs(make_model: Callable[..., ModelCard], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a student of FLAIR, the better one, a student of T2, and a teacher."""
    folder = tmp_path_factory.mktemp("models") / "runs"
    make_model(folder / "pkdr_flair", ("flair",), dice=0.8)
    make_model(folder / "pkdr_t2", ("t2",), dice=0.7)
    make_model(folder / "teacher", MODALITIES, dice=0.9)
    return folder
