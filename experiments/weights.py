"""The weights that come with the bundle, made again from nothing: synthetic patients, a teacher, one student.

No patient's scan takes part. `docs/weights.md` says what the weights are worth, and how long each step takes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.steps import ROOT, Step, bundle, run_steps
from pkdr_monai.models import ship_model

FOLDER = Path("runs", "weights")
SETTINGS, CONFIGS = "experiments/weights", "bundle/configs"
GRID = ["--spacing", "2"]
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
    narrow, wide = FOLDER / "narrow", FOLDER / "wide"
    return [
        _draw(narrow, "200 patients like those of BraTS", ["--cases", "200", "--shape", "120,120,78", "--seed", "11"]),
        _split(narrow),
        Step(
            "Train the teacher, which sees all four modalities",
            _train(["train_teacher.json"], "teacher", narrow, "teacher", []),
            TEACHER,
        ),
        _draw(wide, "220 far more varied ones", ["--wide", "--cases", "220", "--shape", "96,112,80", "--seed", "5"]),
        _split(wide),
        Step(
            "Train the student for any subset of the modalities, from the teacher's weights and beside it",
            _train(
                ["any_subset.json", "strong_train.json"],
                "student",
                wide,
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


def _draw(folder: Path, who: str, options: list[str]) -> Step:
    return Step(f"Draw {who}", ["pkdr", "data", "demo", str(folder), *options, *GRID])


def _split(folder: Path) -> Step:
    data_list = folder.with_suffix(".json")
    division = f"{SETTINGS}/{folder.name}_cases.json"
    command = ["pkdr", "data", "split", str(folder), "--split", division, "--output", str(data_list)]
    return Step("Divide them into training and validation", command, data_list)


def _train(overlays: list[str], settings: str, cohort: Path, run: str, options: list[str]) -> list[str]:
    files = [f"{CONFIGS}/train.json", *(f"{CONFIGS}/{name}" for name in overlays), f"{SETTINGS}/{settings}.json"]
    data = ["--dataset_dir", str(cohort), "--data_list_file", str(cohort.with_suffix(".json"))]
    return bundle("training", files, [*data, "--output_dir", str(FOLDER / run), *options, "--resume", "true"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
