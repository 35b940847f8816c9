"""A run that was never trained, a bundle built of it, and that bundle unpacked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pkdr_monai.networks import PatchVNet, describe_network
from pkdr_monai.packaging import build_bundle, exports
from pkdr_monai.packaging.archive import unpack_archive
from pkdr_monai.runs.model_card import ModelCard

SOURCE = Path(__file__).resolve().parents[2] / "bundle"
NAME = "pkdr_test"
CHECK_SHAPE = (40, 40, 32)
ABSENT = {"onnx": ("a_package_that_is_nowhere",), "openvino": ("a_package_that_is_nowhere",)}


def write_card(run: Path, network: nn.Module, modalities: tuple[str, ...]) -> None:
    """Write the card of a run's weights, as a training does."""
    description, name = describe_network(network), "pkdr_" + "_".join(modalities)
    card = ModelCard(name, modalities, description, spacing=(6.0, 6.0, 6.0), roi_size=(32, 32, 32))
    card.with_weights(run / "models" / "model.pt").write()


def write_run(folder: Path, modalities: tuple[str, ...] = ("t2",), **arguments: Any) -> Path:
    """Write the part of a run that a bundle is built of, with weights as they are before training."""
    torch.manual_seed(0)
    network = PatchVNet(len(modalities), init_filters=2, **arguments)
    (folder / "models").mkdir(parents=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    write_card(folder, network, modalities)
    settings = {"run_name": "pkdr_" + "_".join(modalities)}
    best = {"metric": "val_mean_dice", "value": 0.5, "epoch": 3}
    record = {"status": "finished", "settings": settings, "epoch": 4, "max_epochs": 4, "best": best}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


@pytest.fixture
def torchscript_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ONNX and OpenVINO an export takes a second."""
    monkeypatch.setattr(exports, "NEEDS", exports.NEEDS | ABSENT)


@pytest.fixture(scope="session")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("zipped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports, "NEEDS", exports.NEEDS | ABSENT)
        build_bundle(folder / "a.zip", NAME, SOURCE, write_run(folder / "run"), check_shape=CHECK_SHAPE)
    return folder / "a.zip"


@pytest.fixture
def unpacked(zipped: Path, tmp_path: Path) -> Path:
    return unpack_archive(zipped, tmp_path / "unpacked")


@pytest.fixture
def edit_json() -> Callable[[Path, Callable[[dict], object]], None]:
    def edit(path: Path, change: Callable[[dict], object]) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit
