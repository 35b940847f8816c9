"""From nothing to a table: a synthetic cohort, a teacher, a student that sees T2 alone, and its unimodal baseline.

It runs the commands of the README one after the other, only smaller, and prints each before it runs. A step whose
result is there is not repeated, so that an interrupted demo continues where it stopped.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.steps import ROOT, Step, bundle, run_steps

FOLDER = Path("demo")
CASES, SHAPE, SPACING = 30, "120,120,78", "2"
REGIONS = ("wt", "tc", "et")
TRAIN, DEMO = "bundle/configs/train.json", "bundle/configs/demo.json"
RUNS = {  # name in the table: folder, overlays, further options
    "Teacher (T1, T1ce, T2, FLAIR)": ("teacher", ["bundle/configs/train_teacher.json"], []),
    "Unimodal (T2)": ("unimodal_t2", ["experiments/table1/unimodal.yaml"], []),
    "PKDR (T2)": ("pkdr_t2", [], ["--teacher_checkpoint", f"{FOLDER}/runs/teacher/models/model.pt"]),
}


def main() -> int:
    """Run the steps and print the table; return the exit code of a step that failed, or 0."""
    code = run_steps(_steps(), "make demo-training")
    if not code:
        print(f"\n{_table()}")
    return code


def _steps() -> list[Step]:
    cohort, data_list = FOLDER / "cohort", FOLDER / "datalist.json"
    data = ["--dataset_dir", str(cohort), "--data_list_file", str(data_list)]
    steps = [
        Step(
            f"Write a synthetic cohort of {CASES} cases",
            ["pkdr", "data", "demo", str(cohort), f"--cases={CASES}", f"--shape={SHAPE}", f"--spacing={SPACING}"],
        ),
        Step(
            "Check it and split it 70/10/20",
            ["pkdr", "data", "split", str(cohort), "--output", str(data_list)],
            data_list,
        ),
    ]
    for name, (folder, overlays, options) in RUNS.items():
        run = FOLDER / "runs" / folder
        settings = [*data, "--output_dir", str(run), *options]
        steps.append(
            Step(
                f"Train: {name}",
                bundle("training", [TRAIN, *overlays, DEMO], [*settings, "--resume", "true"]),
                run / "models" / "model_last.pt",
            )
        )
        steps.append(
            Step(
                f"Evaluate on the test cases: {name}",
                bundle("evaluating", [TRAIN, *overlays, DEMO, "bundle/configs/evaluate.json"], settings),
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
        bundle("evaluating", ["bundle/configs/inference.json", DEMO], options),
    )


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
