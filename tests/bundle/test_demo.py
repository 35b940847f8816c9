"""The demo runs documented commands on files that exist, and its table reads what MONAI writes."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import ROOT


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("experiments.demo_training")


def test_every_config_that_the_demo_names_exists(demo: ModuleType) -> None:
    steps = demo._steps()
    assert len(steps) == 9
    for step in steps:
        for word in step.command:
            if word.startswith("['"):
                assert all((ROOT / name).is_file() for name in word.strip("[]'").split("','"))


def test_every_config_that_making_the_weights_names_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    steps = importlib.import_module("experiments.weights").steps()
    named = [word for step in steps for word in step.command if word.startswith("['") or word.endswith("cases.json")]
    files = [name for word in named for name in word.strip("[]'").split("','")]
    assert len(files) == 18
    assert all((ROOT / name).is_file() for name in files)


def test_the_table_shows_each_run_with_its_folder(demo: ModuleType, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    for number, (folder, _, _) in enumerate(demo.RUNS.values(), start=1):
        path = tmp_path / "demo" / "runs" / folder / "evaluation" / "metrics.csv"
        path.parent.mkdir(parents=True)
        scores = {"": number / 10, "_tc": 0.2, "_wt": 0.1, "_et": 0.3}
        path.write_text("".join(f"val_mean_dice{region},{value}\n" for region, value in scores.items()))
    lines = demo._table().splitlines()
    assert "not a medical device" in lines[0]
    assert lines[2].split("  ")[0] == "Teacher (T1, T1ce, T2, FLAIR)"
    assert lines[4].split()[-5:] == ["0.100", "0.200", "0.300", "0.300", "demo/runs/pkdr_t2/"]
