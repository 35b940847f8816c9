"""From nothing to a table: a synthetic cohort, a teacher, a student that sees T2 alone, and its unimodal baseline.

It runs the commands of the README one after the other, only smaller, and prints each before it runs. A step whose
result is there is not repeated, so that a demo that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import csv
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkdr_monai.handlers.progress_log import duration

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path("demo")
CASES, SHAPE, SPACING = 30, "120,120,78", "2"
REGIONS = ("wt", "tc", "et")
TRAIN, DEMO = "bundle/configs/train.json", "bundle/configs/demo.json"
RUNS = {  # name in the table: folder, overlays, further options
    "Teacher (T1, T1ce, T2, FLAIR)": ("teacher", ["bundle/configs/train_teacher.json"], []),
    "Unimodal (T2)": ("unimodal_t2", ["experiments/table1/unimodal.yaml"], []),
    "PKDR (T2)": ("pkdr_t2", [], ["--teacher_checkpoint", f"{FOLDER}/runs/teacher/models/model.pt"]),
}


@dataclass(frozen=True)
class Step:
    """A command, what it is for, and the file whose presence says that it is done."""

    title: str
    command: Sequence[str]
    result: Path


def main() -> int:
    """Run the steps and print the table; return the exit code of a step that failed, or 0."""
    started = time.perf_counter()
    steps = _steps()
    for number, step in enumerate(steps, start=1):
        elapsed = duration(time.perf_counter() - started)
        print(f"\n[{number}/{len(steps)}, {elapsed} so far] {step.title}", flush=True)
        print(f"$ {_shown(step.command)}", flush=True)
        if (ROOT / step.result).exists():
            print(f"already done: {step.result}", flush=True)
            continue
        code = subprocess.run(_executable(step.command), cwd=ROOT, check=False).returncode
        if code:
            print(f"the step ended with exit code {code}; `make demo` tries it again", file=sys.stderr)
            return code
    print(f"\nDone in {duration(time.perf_counter() - started)}.\n\n{_table()}")
    return 0


def _steps() -> list[Step]:
    cohort, data_list = FOLDER / "cohort", FOLDER / "datalist.json"
    data = ["--dataset_dir", str(cohort), "--data_list_file", str(data_list)]
    steps = [
        Step(
            f"Write a synthetic cohort of {CASES} cases",
            ["pkdr", "data", "demo", str(cohort), f"--cases={CASES}", f"--shape={SHAPE}", f"--spacing={SPACING}"],
            cohort / "complete",  # never there: the command itself skips what is done
        ),
        Step(
            "Check it and split it 70/10/20",
            ["pkdr", "data", "split", str(cohort), "--output", str(data_list)],
            data_list,
        ),
    ]
    for name, (folder, overlays, options) in RUNS.items():
        run = FOLDER / "runs" / folder
        bundle = [*data, "--output_dir", str(run), *options]
        steps.append(
            Step(
                f"Train: {name}",
                _bundle("training", [TRAIN, *overlays, DEMO], [*bundle, "--resume", "true"]),
                run / "models" / "model_last.pt",
            )
        )
        steps.append(
            Step(
                f"Evaluate on the test cases: {name}",
                _bundle("evaluating", [TRAIN, *overlays, DEMO, "bundle/configs/evaluate.json"], bundle),
                run / "evaluation" / "metrics.csv",
            )
        )
    steps.append(_segmentation(data, data_list))
    return steps


def _segmentation(data: Sequence[str], data_list: Path) -> Step:
    output = FOLDER / "segmentations"
    lists = f"pkdr_monai.data.load_data_list('{data_list}')"
    items = f"pkdr_monai.data.training_items({lists}, @dataset_dir, 'test', @modalities)"
    options = [
        *data[:2],
        *("--datalist", f"$[item['image'] for item in {items}]"),
        *("--ckpt_dir", str(FOLDER / "runs" / "pkdr_t2" / "models"), "--output_dir", str(output)),
    ]
    return Step(
        "Segment the test cases from T2 alone with the PKDR student",
        _bundle("evaluating", ["bundle/configs/inference.json", DEMO], options),
        output / "complete",  # never there: it takes seconds
    )


def _bundle(run: str, configs: Sequence[str], options: Sequence[str]) -> list[str]:
    files = "[" + ",".join(f"'{config}'" for config in configs) + "]"
    return ["python", "-m", "monai.bundle", "run", run, "--config_file", files, *options]


def _shown(command: Sequence[str]) -> str:
    return " ".join(word if word.replace("_", "").isalnum() else shlex.quote(word) for word in command)


def _executable(command: Sequence[str]) -> list[str]:
    """Take ``python`` and ``pkdr`` from the environment that runs this file."""
    program = sys.executable if command[0] == "python" else str(Path(sys.executable).parent / command[0])
    return [program, *command[1:]]


def _table() -> str:
    lines = ["Dice on the test cases (synthetic data; research software, not a medical device)"]
    lines.append(f"{'':32}{'WT':>7}{'TC':>7}{'ET':>7}{'mean':>7}   files")
    for name, (folder, _, _) in RUNS.items():
        run = FOLDER / "runs" / folder
        metrics = _metrics(ROOT / run / "evaluation" / "metrics.csv")
        values = [metrics[f"val_mean_dice_{region}"] for region in REGIONS] + [metrics["val_mean_dice"]]
        lines.append(f"{name:32}" + "".join(f"{value:7.3f}" for value in values) + f"   {run}/")
    lines.append("\nEach folder holds models/model.pt, history.csv, progress.png, run.json and evaluation/.")
    lines.append(f"Segmentations from T2 alone: {FOLDER}/segmentations/")
    return "\n".join(lines)


def _metrics(path: Path) -> dict[str, float]:
    """Read MONAI's metrics file: one ``name<separator>value`` a line."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row[0]: float(row[1]) for row in csv.reader(file) if len(row) == 2}


if __name__ == "__main__":
    sys.exit(main())
