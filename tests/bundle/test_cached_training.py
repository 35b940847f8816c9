"""Training on cached cases is the training of train.json, but for the rounding of its images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from pkdr_monai.networks import PatchVNet

from .conftest import CONFIGS, TRAIN, UNIMODAL, Bundle

pytest.importorskip("blosc2")

CACHED = CONFIGS / "cached_train.json"
STORAGES = ("memory", "disk", "device")


def _weights(run: Path, name: str = "model_last.pt") -> dict[str, torch.Tensor]:
    return torch.load(run / "models" / name, weights_only=True)


def _history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def train(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that trains the unimodal baseline on cached cases."""
    cache = tmp_path_factory.mktemp("cache")

    def run(output_dir: Path, **overrides: object) -> Path:
        return bundle.train(output_dir, UNIMODAL, CACHED, cache_dir=cache, **overrides)

    return run


def test_every_storage_gives_the_same_network_and_nearly_that_of_train_json(
    bundle: Bundle, train: Callable[..., Path], tmp_path: Path
) -> None:
    runs = [train(tmp_path / storage, cache_storage=storage) for storage in STORAGES]
    for run in runs[1:]:
        torch.testing.assert_close(_weights(run), _weights(runs[0]), rtol=0, atol=0)
    plain = bundle.train(tmp_path / "plain", UNIMODAL)
    for row, expected in zip(_history(runs[0]), _history(plain), strict=True):
        assert float(row["loss"]) == pytest.approx(float(expected["loss"]), rel=2e-3)
        assert float(row["val_mean_dice"]) == pytest.approx(float(expected["val_mean_dice"]), abs=0.02)
    assert json.loads((runs[0] / "run.json").read_text())["settings"]["image_dtype"] == "float16"


@pytest.mark.parametrize(("storage", "num_workers"), [("memory", 0), ("disk", 2)])
def test_a_resumed_run_is_bit_identical(
    train: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, num_workers: int
) -> None:
    options = {"max_epochs": 3, "cache_storage": storage, "num_workers": num_workers}
    whole = train(tmp_path / "whole", **options)
    steps: list[int] = []
    features = PatchVNet.features

    def die_in_the_second_epoch(self: PatchVNet, x: torch.Tensor) -> dict[str, torch.Tensor]:
        steps.append(1)
        if len(steps) == 4:  # the last of the second epoch
            raise KeyboardInterrupt
        return features(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(PatchVNet, "features", die_in_the_second_epoch)
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            train(tmp_path / "broken", **options)
    assert len(_history(tmp_path / "broken")) == 1
    broken = train(tmp_path / "broken", resume=True, **options)
    for name in ("model.pt", "model_last.pt"):
        torch.testing.assert_close(_weights(broken, name), _weights(whole, name), rtol=0, atol=0)
    assert _history(broken) == _history(whole)


def test_evaluation_reads_the_scans_themselves(bundle: Bundle, train: Callable[..., Path], tmp_path: Path) -> None:
    run = train(tmp_path / "run", max_epochs=1)
    tables = []
    for configs in ((TRAIN, UNIMODAL), (TRAIN, UNIMODAL, CACHED)):
        bundle.run("evaluating", *configs, CONFIGS / "evaluate.json", **bundle.options(output_dir=run))
        tables.append((run / "evaluation" / "metrics.csv").read_text())
    assert tables[0] == tables[1]


def test_monai_finds_every_property(bundle: Bundle, tmp_path: Path) -> None:
    workflow = ConfigWorkflow(
        config_file=[str(config) for config in (TRAIN, UNIMODAL, CACHED)],
        workflow_type="train",
        logging_file=False,
        **bundle.options(output_dir=str(tmp_path), cache_dir=str(tmp_path)),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("storage", ["memory", "disk"])
def test_a_student_learns_from_cached_outputs_of_its_teacher(
    bundle: Bundle, teacher: Path, tmp_path: Path, storage: str
) -> None:
    options = {"teacher_checkpoint": teacher / "models" / "model.pt", "cache_dir": tmp_path / "cache"}
    overlays = (CACHED, CONFIGS / "cached_teacher.json")
    run = bundle.train(tmp_path / "run", *overlays, cache_storage=storage, **options)
    rows = _history(run)
    assert len(rows) == 2
    assert all(float(rows[-1][part]) > 0 for part in ("pixel_kd", "patch_kd", "patch_contrastive"))
    assert json.loads((run / "run.json").read_text())["settings"]["teacher_cached"] is True
