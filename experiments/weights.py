"""The weights that come with the bundle, made again from nothing: synthetic patients, a teacher, one student.

No patient's scan takes part. `docs/weights.md` says what the weights are worth, and how long each step takes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from experiments.steps import ROOT, Step, bundle, run_steps
from pkdr_monai.files import atomic_write
from pkdr_monai.networks import read_tensors
from pkdr_monai.runs import ModelCard, read_model

FOLDER = Path("runs", "weights")
SETTINGS, CONFIGS = "experiments/weights", "bundle/configs"
COHORT, DATA_LIST = FOLDER / "cohort", FOLDER / "cohort.json"
TEACHER = FOLDER / "teacher" / "models" / "model_last.pt"
STUDENT = FOLDER / "any_subset"


def main(arguments: Sequence[str] = ()) -> int:
    """Run the steps that have no result yet; return the exit code of one that failed, or 0."""
    if list(arguments) == ["ship"]:
        card = ship_model(ROOT / "bundle" / "models", ROOT / STUDENT / "models")
        print(f"{card.weights}: SHA-256 {card.sha256}")
        return 0
    return run_steps(steps(), "make weights")


def steps() -> list[Step]:
    """Return the commands, in their order."""
    return [
        _draw("narrow", "200 patients like those of BraTS", "--cases 200 --shape 120,120,78 --seed 11"),
        _draw("wide", "228 far more varied ones", "--wide --cases 228 --shape 96,112,80 --seed 5"),
        Step(
            "Divide them into training and validation",
            ["pkdr", "data", "split", str(COHORT), "--split", f"{SETTINGS}/cases.json", "--output", str(DATA_LIST)],
            DATA_LIST,
        ),
        Step(
            "Train the teacher, which sees all four modalities",
            _train(["train_teacher.json", "strong_train.json"], "teacher", "teacher", []),
            TEACHER,
        ),
        Step(
            "Train the student for any subset of the modalities, from the teacher's weights and beside it",
            _train(
                ["any_subset.json", "strong_train.json"],
                "student",
                "any_subset",
                ["--teacher_checkpoint", str(TEACHER), "--initial_weights", str(TEACHER)],
            ),
            STUDENT / "models" / "model_last.pt",
        ),
        Step(
            "Put the student into the bundle, in half precision",
            ["python", "-m", "experiments.weights", "ship"],
        ),
    ]


def ship_model(folder: str | Path, trained: str | Path) -> ModelCard:
    """Put the network of a training's last epoch into a bundle's ``models``, in half precision, with its card.

    Args:
        folder: the bundle's ``models``.
        trained: the ``models`` of a finished training.

    Returns:
        The card, without an evaluation.

    Raises:
        InputError: when the training has not finished, or its card cannot be read.
    """
    state = read_tensors(Path(trained) / "model_last.pt")
    card = read_model(Path(trained) / "model.pt")
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    target = Path(folder) / "model.pt"
    with atomic_write(target) as file:
        torch.save(half, file)
    shipped = replace(card, evaluation=None, subsets={}).with_weights(target)
    shipped.write()
    return shipped


def _draw(name: str, who: str, options: str) -> Step:
    return Step(f"Draw {who}", ["pkdr", "data", "demo", str(COHORT / name), *options.split(), "--spacing", "2"])


def _train(overlays: list[str], settings: str, run: str, options: list[str]) -> list[str]:
    files = [f"{CONFIGS}/train.json", *(f"{CONFIGS}/{name}" for name in overlays), f"{SETTINGS}/{settings}.json"]
    data = ["--dataset_dir", str(COHORT), "--data_list_file", str(DATA_LIST)]
    return bundle("training", files, [*data, "--output_dir", str(FOLDER / run), *options, "--resume", "true"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
