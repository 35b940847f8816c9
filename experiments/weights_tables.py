"""Write the scores of the shipped weights into the documents: `python -m experiments.weights_tables`.

The learning curve of docs/fine_tuning.md and its figure come from experiments/results/weights/learning_curve.
"""

from __future__ import annotations

import csv
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from experiments.curve import Point, curve_table, draw_curve, gain, read_curve
from experiments.steps import ROOT
from pkdr_monai.files import atomic_write
from pkdr_monai.modalities import MODALITIES, expand_modalities
from pkdr_monai.studies import read_study
from pkdr_monai.studies.results import Scores as StudyScores

SCORES = ROOT / "experiments" / "results" / "weights" / "evaluation_subsets.csv"
FIRST_STAGE = SCORES.parent / "first_stage" / "evaluation_subsets.csv"
CURVE, CURVE_MODALITY = SCORES.parent / "learning_curve", "t2"  # measured with the weights of the first stage
FINE_TUNED = ROOT / "experiments" / "results" / "brats2018-24-weights"
CURVE_FIGURE = ROOT / "docs" / "figures" / "learning_curve.png"
METADATA = ROOT / "bundle" / "configs" / "metadata.json"
REGIONS = ("wt", "tc", "et")
FIRST = ("t1+t1ce+t2+flair", "flair", "t1ce", "t2", "t1")
GOALS = {  # Dice on the 24 cases that was aimed at
    "t1+t1ce+t2+flair": (0.85, 0.70, 0.68),
    "flair": (0.82, 0.52, 0.35),
    "t1ce": (0.65, 0.66, 0.66),
    "t2": (0.78, 0.52, 0.33),
    "t1": (0.62, 0.45, 0.25),
}
Scores = dict[str, list[dict[str, float]]]


def main() -> int:
    """Write the tables and the metrics of metadata.json again."""
    scores = read_scores(SCORES)
    for path in documents():
        _write(path, filled(path.read_text(encoding="utf-8"), scores))
    metadata = json.loads(METADATA.read_text(encoding="utf-8")) | {"eval_metrics": metrics(scores)}
    draw_curve(*_measured_curve()).savefig(CURVE_FIGURE, dpi=150)
    _write(METADATA, json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")
    return 0


def documents() -> list[Path]:
    """Return the documents that hold a table."""
    return [
        ROOT / name
        for name in (
            "README.md",
            "docs/weights.md",
            "docs/results.md",
            "docs/fine_tuning.md",
            "bundle/docs/README.md",
            "bundle/docs/weights.md",
        )
    ]


def read_scores(path: Path) -> Scores:
    """Read the scores of each case by the subset of modalities that was seen."""
    scores: Scores = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            values = {name: float(value) for name, value in row.items() if name.startswith(("dice_", "hd95_"))}
            scores.setdefault(row["modalities"], []).append(values)
    return scores


def filled(text: str, scores: Scores) -> str:
    """Return a document with its tables filled: each stands between ``<!-- scores: NAME -->`` and ``<!-- end -->``."""

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}\n\n" + "\n".join(TABLES[match[2]](scores)) + f"\n\n{match[3]}"

    return re.sub(r"(<!-- scores: (\w+) -->).*?(<!-- end -->)", fill, text, flags=re.DOTALL)


def metrics(scores: Scores) -> dict[str, float]:
    """Return the mean Dice of each region, as metadata.json names them."""
    return {
        f"mean_dice_{region}_{'all' if subset == FIRST[0] else subset}": round(_mean(scores[subset], region), 4)
        for subset in FIRST
        for region in REGIONS
    }


def _few(scores: Scores) -> Iterable[str]:
    return _table(scores, FIRST)


def _all(scores: Scores) -> Iterable[str]:
    subsets = [FIRST[0] if subset == "all" else subset for subset in expand_modalities(["subsets"])]
    measured = [subset for subset in subsets if subset in scores]
    return _table(scores, sorted(measured, key=lambda subset: -subset.count("+")))


def _curve(scores: Scores) -> Iterable[str]:
    return curve_table(*_measured_curve())


def _measured_curve() -> tuple[list[Point], dict[str, dict[str, float]]]:
    """Return the learning curve, and the Dice of the weights as they are on its test cases."""
    points = read_curve(CURVE)
    tested = {case for point in points for case in point.dice}
    before = dice_of_cases(CURVE_MODALITY, FIRST_STAGE)
    return points, {case: dice for case, dice in before.items() if case in tested}


def _stages(scores: Scores) -> Iterable[str]:
    """Compare the shipped weights with those of the first stage, case by case."""
    yield "| modalities | first stage | shipped | difference (95 % interval), p |"
    yield "|---|---|---|---|"
    for subset in scores:
        first, shipped = (Point("weights", 0, dice_of_cases(subset, path)) for path in (FIRST_STAGE, SCORES))
        means = [f"{point.case_means(sorted(point.dice)).mean():.3f}" for point in (first, shipped)]
        yield f"| {' | '.join([_named(subset), *means, gain(shipped, first)])} |"


def _fine_tuned(scores: Scores) -> Iterable[str]:
    """Compare fine-tuning by labels alone, fine-tuning with a teacher, and the weights as they are, case by case."""
    yield (
        "| sees | seeds | the weights as they are | fine-tuned by labels alone | with a teacher | teacher over labels "
        "alone (95 % interval), p | teacher over the weights as they are |"
    )
    yield "|---|---|---|---|---|---|---|"
    study = read_study(FINE_TUNED)
    for modality in MODALITIES:
        runs = [study.scores[cell, modality] for cell in ("table1/unimodal", "table1/pkdr")]
        alone, taught = (_as_point(run) for run in runs)
        shipped = Point("weights", 0, dice_of_cases(modality, SCORES))
        means = [f"{point.case_means(sorted(alone.dice)).mean():.3f}" for point in (shipped, alone, taught)]
        seeds = str(min(len(run.seeds) for run in runs))
        yield f"| {' | '.join([modality, seeds, *means, gain(taught, alone), gain(taught, shipped)])} |"


def _as_point(run: StudyScores) -> Point:
    # the fourth column of a study's Dice is the mean of the regions
    dice = {case: dict(zip(REGIONS, row, strict=False)) for case, row in zip(run.cases, run.case_means, strict=True)}
    return Point("weights", 0, dice)


def dice_of_cases(subset: str, path: Path) -> dict[str, dict[str, float]]:
    """Return the Dice of each case and region by weights which saw a subset of its modalities."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["modalities"] == subset]
    return {row["case"]: {region: float(row[f"dice_{region}"]) for region in REGIONS} for row in rows}


def _goals(scores: Scores) -> Iterable[str]:
    yield "| modalities | WT: goal, reached | TC: goal, reached | ET: goal, reached |"
    yield "|---|---|---|---|"
    for subset, goals in GOALS.items():
        reached = [_mean(scores[subset], region) for region in REGIONS]
        cells = [
            f"{goal:.2f}, {'**' * (value >= goal)}{value:.3f}{'**' * (value >= goal)}"
            for goal, value in zip(goals, reached, strict=True)
        ]
        yield f"| {_named(subset)} | {' | '.join(cells)} |"


def _table(scores: Scores, subsets: Sequence[str]) -> Iterable[str]:
    cases = {len(rows) for rows in scores.values()}
    yield f"| modalities ({min(cases)} cases) | WT | TC | ET | mean | HD95 WT | HD95 TC | HD95 ET |"
    yield "|---|---|---|---|---|---|---|---|"
    for subset in subsets:
        rows = scores[subset]
        dice = [_mean(rows, region) for region in REGIONS]
        spread = [statistics.stdev(values) if len(values := _dice(rows, region)) > 1 else 0.0 for region in REGIONS]
        hd95 = [statistics.median(row[f"hd95_{region}"] for row in rows) for region in REGIONS]
        cells = [f"{mean:.3f} ± {deviation:.2f}" for mean, deviation in zip(dice, spread, strict=True)]
        cells += [f"{statistics.fmean(dice):.3f}", *(f"{distance:.1f}" for distance in hd95)]
        yield f"| {_named(subset)} | {' | '.join(cells)} |"


def _named(subset: str) -> str:
    return subset.replace("+", ", ")


def _mean(rows: Sequence[dict[str, float]], region: str) -> float:
    return statistics.fmean(_dice(rows, region))


def _dice(rows: Sequence[dict[str, float]], region: str) -> list[float]:
    return [row[f"dice_{region}"] for row in rows]


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


TABLES: dict[str, Callable[[Scores], Iterable[str]]] = {
    "few": _few,
    "all": _all,
    "goals": _goals,
    "curve": _curve,
    "stages": _stages,
    "fine_tuned": _fine_tuned,
}

if __name__ == "__main__":
    sys.exit(main())
