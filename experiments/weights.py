"""The weights that come with the bundle, made again: synthetic patients, a teacher, and a student in two stages.

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
ANY_SUBSET, STRONG = f"{CONFIGS}/any_subset.json", f"{CONFIGS}/strong_train.json"
COHORT, DATA_LIST, MORE = FOLDER / "cohort", FOLDER / "cohort.json", FOLDER / "more.json"
TEACHER = FOLDER / "teacher" / "models" / "model_last.pt"
FIRST = FOLDER / "any_subset" / "models" / "model_last.pt"
STUDENT = FOLDER / "any_subset_more"


def main(arguments: Sequence[str] = ()) -> int:
    """Run the steps that have no result yet; return the exit code of one that failed, or 0."""
    if list(arguments) == ["ship"]:
        card = ship_model(ROOT / "bundle" / "models", ROOT / STUDENT / "models", ROOT / FIRST)
        print(f"{card.weights}: SHA-256 {card.sha256}")
        return 0
    return run_steps(steps(), "make weights")


def steps() -> list[Step]:
    """Return the commands, in their order."""
    return [
        _draw("narrow", "300 patients like those of BraTS", "--cases 300 --shape 120,120,78 --seed 11"),
        _draw("wide", "300 far more varied ones", "--wide --cases 300 --shape 96,112,80 --seed 5"),
        _draw("healthy", "60 heads without a tumour", "--healthy --cases 60 --shape 96,112,80 --seed 8"),
        _split("Choose the cases of the teacher and of the student's first stage", "cases", DATA_LIST),
        _split("Choose the cases of its second stage", "more_cases", MORE),
        Step(
            "Train the teacher, which sees all four modalities",
            _train([f"{CONFIGS}/train_teacher.json", STRONG], "teacher", "teacher", DATA_LIST, []),
            TEACHER,
        ),
        Step(
            "Train the student for any subset of the modalities, from the teacher's weights and beside it",
            _train(
                [ANY_SUBSET, STRONG],
                "student",
                "any_subset",
                DATA_LIST,
                ["--teacher_checkpoint", str(TEACHER), "--initial_weights", str(TEACHER)],
            ),
            FIRST,
        ),
        Step(
            "Train it further on more patients by their labels alone, most of the time from a single modality",
            _train(
                [ANY_SUBSET, "experiments/table1/unimodal.yaml", STRONG],
                "more",
                "any_subset_more",
                MORE,
                ["--initial_weights", str(FIRST)],
            ),
            STUDENT / "models" / "model_last.pt",
        ),
        Step(
            "Put the mean of both stages into the bundle, in half precision",
            ["python", "-m", "experiments.weights", "ship"],
        ),
    ]


def ship_model(folder: str | Path, trained: str | Path, first: str | Path | None = None) -> ModelCard:
    """Put the network of a training's last epoch into a bundle's ``models``, in half precision, with its card.

    Args:
        folder: the bundle's ``models``.
        trained: the ``models`` of a finished training.
        first: weights that the training began from, which are averaged with its own; ``None`` for its own alone. The
            mean of both kept what the first could and most of what the training added (docs/weights.md).

    Returns:
        The card, without an evaluation.

    Raises:
        InputError: when the training has not finished, or its card cannot be read.
    """
    state = read_tensors(Path(trained) / "model_last.pt")
    card = read_model(Path(trained) / "model.pt")
    if first is not None:
        begun = read_tensors(first)
        state = {
            name: (value + begun[name]) / 2 if value.is_floating_point() else value for name, value in state.items()
        }
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    target = Path(folder) / "model.pt"
    with atomic_write(target) as file:
        torch.save(half, file)
    shipped = replace(card, evaluation=None, subsets={}).with_weights(target)
    shipped.write()
    return shipped


def _draw(name: str, who: str, options: str) -> Step:
    return Step(f"Draw {who}", ["pkdr", "data", "demo", str(COHORT / name), *options.split(), "--spacing", "2"])


def _split(title: str, cases: str, data_list: Path) -> Step:
    options = ["--split", f"{SETTINGS}/{cases}.json", "--output", str(data_list)]
    return Step(title, ["pkdr", "data", "split", str(COHORT), *options], data_list)


def _train(overlays: list[str], settings: str, run: str, data_list: Path, options: list[str]) -> list[str]:
    files = [f"{CONFIGS}/train.json", *overlays, f"{SETTINGS}/common.json", f"{SETTINGS}/{settings}.json"]
    data = ["--dataset_dir", str(COHORT), "--data_list_file", str(data_list)]
    return bundle("training", files, [*data, "--output_dir", str(FOLDER / run), *options, "--resume", "true"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
