"""What a few labelled cases are worth, with the weights that come along and without: a learning curve.

    python -m experiments.learning_curve BRATS2018 [MODALITY] [STARTS]

Three folds of 24 cases, each case a test case of one of them. In each, networks of one modality are trained on 4, 8
and 16 cases (a quarter of which choose the epoch): from the shipped weights in half the steps and at a lower learning
rate (`weights`), from them as long and as fast as from scratch (`weights_long`), and from scratch (`scratch`). STARTS
names some of these, with commas between them. A run that has a result is not repeated. The results are in
experiments/results/weights/learning_curve/.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.steps import ROOT, Step, bundle, run_steps
from pkdr_monai.data import load_data_list, make_data_list
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.data.splits import split_folds
from pkdr_monai.files import file_hash, read_object, write_json
from pkdr_monai.runs.tables import read_figures, read_history

FOLDER = Path("runs", "learning_curve")
RESULTS = ROOT / "experiments" / "results" / "weights" / "learning_curve"
CONFIGS = ("bundle/configs/train.json", "experiments/table1/unimodal.yaml", "experiments/weights/fine_tune.json")
FOLDS = 3
SIZES = (4, 8, 16)
VALIDATION_SHARE = 4  # one case in so many chooses the epoch
BATCH_SIZE = 3  # that of fine_tune.json; it divides the training cases of each size
STEPS = {"weights": 360, "weights_long": 720, "scratch": 720}
SHIPPED = ["--initial_weights", "bundle/models/model.pt"]
OPTIONS = {
    "weights": [*SHIPPED, "--learning_rate", "0.0003"],
    "weights_long": [*SHIPPED, "--learning_rate", "0.001"],
    "scratch": ["--learning_rate", "0.001"],
}


@dataclass(frozen=True)
class Run:
    """One training: its modality, where it begins, its number of cases and its fold."""

    modality: str
    start: str
    cases: int
    fold: int

    @property
    def name(self) -> str:
        """Name of its folder and of its result."""
        return f"{self.modality}_{self.start}_{self.cases}_fold{self.fold}"

    @property
    def data_list(self) -> Path:
        """Its data list; runs with another start share it."""
        return FOLDER / f"cases_{self.cases}_fold{self.fold}.json"

    @property
    def result(self) -> Path:
        """The scores of its test cases."""
        return RESULTS / f"{self.name}.json"

    def steps(self, dataset_dir: str) -> list[Step]:
        """Return the commands that train and score it."""
        epochs = STEPS[self.start] * BATCH_SIZE // len(load_data_list(ROOT / self.data_list)["training"])
        data = ["--dataset_dir", dataset_dir, "--data_list_file", str(self.data_list)]
        folder = FOLDER / self.name
        options = [
            *("--modality", self.modality, "--run_name", self.name, "--output_dir", str(folder)),
            *("--max_epochs", str(epochs), "--val_interval", str(epochs // 6), "--checkpoint_interval", "20"),
            *OPTIONS[self.start],
        ]
        return [
            Step(f"Train {self.name}", bundle("training", CONFIGS, [*data, *options, "--resume", "true"])),
            Step(f"Score {self.name}", ["pkdr", "evaluate", str(folder), *data], folder / "evaluation" / "metrics.csv"),
        ]


def main(arguments: Sequence[str]) -> int:
    """Train and score what has no result yet; return the exit code of a command that failed, or 0."""
    dataset_dir, *rest = arguments
    modality, starts = rest[0] if rest else "t2", rest[1].split(",") if len(rest) > 1 else list(STEPS)
    for run in runs(modality):
        if run.start not in starts or run.result.is_file():
            continue
        _write_data_list(run, Path(dataset_dir))
        code = run_steps(run.steps(dataset_dir), f"python -m experiments.learning_curve {' '.join(arguments)}")
        if code:
            return code
        write_json(run.result, _result(run))
    return 0


def runs(modality: str) -> Iterator[Run]:
    """Name all runs, in an order in which what is done can be compared."""
    for fold in range(FOLDS):
        for cases in SIZES:
            for start in STEPS:
                yield Run(modality, start, cases, fold)


def draw(training: Sequence[str], validation: Sequence[str], cases: int, fold: int) -> dict[str, list[str]]:
    """Choose some of a fold's cases; those of a smaller number are among those of a larger one."""
    order = random.Random(fold)
    few = {
        "train": order.sample(sorted(training), len(training)),
        "val": order.sample(sorted(validation), len(validation)),
    }
    validating = cases // VALIDATION_SHARE
    return {"train": few["train"][: cases - validating], "val": few["val"][:validating]}


def _write_data_list(run: Run, dataset_dir: Path) -> None:
    if (ROOT / run.data_list).is_file():
        return
    fold = split_folds(find_cases(dataset_dir).cases, FOLDS)[run.fold]
    names = ROOT / run.data_list.with_suffix(".names.json")
    write_json(names, {**draw(fold["training"], fold["validation"], run.cases, run.fold), "test": fold["test"]})
    write_json(ROOT / run.data_list, make_data_list(dataset_dir, split=names))


def _result(run: Run) -> dict[str, object]:
    folder = ROOT / FOLDER / run.name
    data_list = load_data_list(ROOT / run.data_list)
    record = read_object(folder / "run.json")
    seconds = sum(epoch["seconds"] for epoch in read_history(folder / "history.csv"))
    names = {section: [entry["case"] for entry in data_list[section]] for section in ("training", "validation", "test")}
    return {
        "modality": run.modality,
        "start": run.start,
        "cases": run.cases,
        "fold": run.fold,
        "steps": STEPS[run.start],
        "options": OPTIONS[run.start],
        "initial_weights": None if run.start == "scratch" else file_hash(ROOT / SHIPPED[1]),
        "training": names["training"],
        "validation": names["validation"],
        "best_epoch": record["best"]["epoch"],
        "training_seconds": round(seconds, 1),
        "environment": record["environment"],
        "scores": read_figures(folder / "evaluation", names["test"]),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
