"""Every config under ``experiments/`` trains: an epoch of each on the tiny cohort, beside the teacher it asks for.

A config names its teacher by the default of ``teacher_checkpoint``, ``runs/NAME/models/model.pt``. NAME is a
``run_name``: ``teacher`` (``train_teacher.json``), that of another experiment, or ``teacher_STEM``, the teacher that
``STEM.yaml`` needs for itself, trained with that file between ``train.json`` and ``train_teacher.json``.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from pkdr_monai.networks import load_weights, read_tensors
from pkdr_monai.studies import Cell, Repository

from .conftest import CONFIGS, ROOT, TRAIN, Bundle

EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.yaml"))
REPOSITORY = Repository(ROOT)
OVERLAYS: dict[Path, dict[str, Any]] = {path: ConfigParser.load_config_file(str(path)) for path in EXPERIMENTS}


def _merged(*configs: Path) -> dict[str, Any]:
    return ConfigParser.load_config_files([str(config) for config in configs])


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT / "experiments").with_suffix(""))


def _teacher(path: Path) -> Cell | None:
    """The cell that trains the experiment's teacher; ``None`` where it trains without one."""
    return REPOSITORY.teacher_of(REPOSITORY.cells[_name(path)])


@pytest.fixture(scope="session")
def teacher_of(bundle: Bundle, teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Train the teacher of an experiment, once for all who share it, and return its weights."""
    runs = {"bundle/teacher": teacher}

    def train(path: Path) -> Path:
        cell = _teacher(path) or REPOSITORY.cells["bundle/teacher"]  # who has none gets a path that it does not read
        if cell.name not in runs:
            output_dir = tmp_path_factory.mktemp("runs") / cell.name.replace("/", "_")
            runs[cell.name] = bundle.train(output_dir, *cell.overlays, max_epochs=1)
        return runs[cell.name] / "models" / "model.pt"

    return train


@pytest.fixture(scope="session")
def trained(
    bundle: Bundle, teacher_of: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path], Path]:
    runs: dict[Path, Path] = {}

    def train(path: Path) -> Path:
        if path not in runs:
            output_dir = tmp_path_factory.mktemp("experiment")
            runs[path] = bundle.train(output_dir, path, max_epochs=1, teacher_checkpoint=teacher_of(path))
        return runs[path]

    return train


@pytest.mark.parametrize("path", EXPERIMENTS, ids=_name)
def test_an_epoch_of_it_runs_with_finite_parts_and_scores(path: Path, trained: Callable[[Path], Path]) -> None:
    with (trained(path) / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert all(math.isfinite(float(value)) for value in row.values()), row
    assert {"loss", "segmentation", "val_mean_dice", "val_mean_dice_et"} <= set(row)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=_name)
def test_its_weights_fill_the_network_that_it_names(
    path: Path, trained: Callable[[Path], Path], bundle: Bundle
) -> None:
    parser = ConfigParser()
    parser.read_config([str(TRAIN), str(path)])
    parser.update(bundle.options())
    load_weights(parser.get_parsed_content("network_def"), trained(path) / "models" / "model.pt")


@pytest.mark.parametrize("path", EXPERIMENTS, ids=_name)
def test_it_changes_only_what_there_is(path: Path) -> None:
    """MONAI takes an unknown id silently: each is one of the bundle's or is read by the experiment itself."""
    known = set(_merged(TRAIN, CONFIGS / "evaluate.json")) | set(re.findall(r"@(\w+)", path.read_text()))
    assert {key.split("#")[0] for key in OVERLAYS[path]} <= known


@pytest.mark.parametrize("path", EXPERIMENTS, ids=_name)
def test_it_explains_itself_in_its_first_line(path: Path) -> None:
    assert path.read_text().startswith("# ")


def test_each_has_a_run_name_of_its_own() -> None:
    names = [overlay["run_name"] for overlay in OVERLAYS.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=_name)
def test_its_teacher_is_one_that_a_config_trains(path: Path) -> None:
    merged = REPOSITORY.cells[_name(path)].merged
    wanted = merged["distiller"].get("teacher") is not None or merged["initial_weights"] == "@teacher_checkpoint"
    teacher = _teacher(path)
    assert (teacher is not None) is wanted
    assert teacher is None or teacher.overlays


@pytest.mark.parametrize("stem", ["teacher_start", "unimodal_teacher_start"])
def test_student_begins_from_its_teachers_weights_and_its_slice_of_the_first_layer(
    stem: str, bundle: Bundle, teacher_of: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = ROOT / "experiments" / "controls" / f"{stem}.yaml"
    begun = {"teacher_checkpoint": teacher_of(path), "learning_rate": 0.0, "modality": "t2", "max_epochs": 1}
    output_dir = bundle.train(tmp_path / "run", path, **begun)
    student, teacher = read_tensors(output_dir / "models" / "model_last.pt"), read_tensors(teacher_of(path))
    assert student["stem.0.weight"].shape[1] == 1
    for name, value in student.items():
        if name.endswith(("weight", "bias")):
            expected = teacher[name][:, [2]] if name == "stem.0.weight" else teacher[name]
            torch.testing.assert_close(value, expected, msg=name)


def test_moving_average_is_validated_kept_and_evaluated(bundle: Bundle, teacher: Path, tmp_path: Path) -> None:
    path = ROOT / "experiments" / "controls" / "moving_average.yaml"
    options = {"output_dir": tmp_path / "run", "teacher_checkpoint": teacher / "models" / "model.pt"}
    bundle.train(tmp_path / "run", path, **{key: value for key, value in options.items() if key != "output_dir"})
    workflow = bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", path, **bundle.options(**options))
    scored = workflow.parser.get_parsed_content("validate#evaluator#network").state_dict()
    kept = read_tensors(tmp_path / "run" / "models" / "model.pt")
    trained = read_tensors(tmp_path / "run" / "models" / "checkpoint.pt")["distiller"]
    assert all(torch.equal(scored[name], value) for name, value in kept.items())
    assert not torch.equal(kept["stem.0.weight"], trained["student.stem.0.weight"])
