"""A synthetic cohort small enough to train on in a test, and the bundle run on it in this process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigWorkflow

from pkdr_monai.data import make_data_list
from pkdr_monai.files import write_json
from pkdr_monai.phantom import write_cohort

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "bundle" / "configs"
TRAIN, TEACHER = CONFIGS / "train.json", CONFIGS / "train_teacher.json"
UNIMODAL = ROOT / "experiments" / "table1" / "unimodal.yaml"

TINY: dict[str, Any] = {
    "spacing": [6.0, 6.0, 6.0],
    "roi_size": [32, 32, 32],
    "init_filters": 2,
    "batch_size": 2,
    "max_epochs": 2,
    "num_workers": 0,
}


@dataclass(frozen=True)
class Bundle:
    """The bundle beside a cohort."""

    cohort: Path
    data_list: Path

    def options(self, **overrides: Any) -> dict[str, Any]:
        return {**TINY, "dataset_dir": str(self.cohort), "data_list_file": str(self.data_list), **overrides}

    def run(self, run_id: str, *configs: Path, **overrides: Any) -> ConfigWorkflow:
        workflow = ConfigWorkflow(
            config_file=[str(config) for config in configs],
            workflow_type="train",
            run_id=run_id,
            logging_file=False,
            **{key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()},
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return workflow

    def train(self, output_dir: Path, *overlays: Path, **overrides: Any) -> Path:
        self.run("training", TRAIN, *overlays, **self.options(output_dir=output_dir, **overrides))
        return output_dir


def type_in_a_shell(script: str, folder: Path, checkout: Path = ROOT) -> str:
    """Run a script, in which this package's commands are found, and return what it says."""
    environment = os.environ | {
        "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
    }
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, f"$ {script}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(autouse=True)
def _untouched_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What ``initialize`` sets for a process of its own is taken back."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "path", list(sys.path))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():  # a training that failed keeps them
        signal.signal(number, handler)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("bundle")
    write_cohort(folder / "cohort", cases=8, shape=(40, 40, 32), spacing=(6.0, 6.0, 6.0), seed=1)
    write_json(folder / "datalist.json", make_data_list(folder / "cohort", fractions=(0.5, 0.25, 0.25)))
    return Bundle(folder / "cohort", folder / "datalist.json")


@pytest.fixture(scope="session")
def teacher(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher's run."""
    return bundle.train(tmp_path_factory.mktemp("runs") / "teacher", TEACHER)


@pytest.fixture
def train_student(bundle: Bundle, teacher: Path) -> Callable[..., Path]:
    def train(output_dir: Path, **overrides: Any) -> Path:
        return bundle.train(output_dir, teacher_checkpoint=teacher / "models" / "model.pt", **overrides)

    return train


@pytest.fixture(scope="session")
def student(bundle: Bundle, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T2 student's run."""
    output_dir = tmp_path_factory.mktemp("runs") / "student"
    return bundle.train(output_dir, teacher_checkpoint=teacher / "models" / "model.pt")
