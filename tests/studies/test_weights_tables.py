"""The documents say of the shipped weights what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.curve import curve_table, draw_curve, read_curve
from experiments.weights_tables import FINE_TUNED, METADATA, SCORES, TABLES, documents, filled, metrics, read_scores
from pkdr_monai.files import read_json, write_json


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.name))
def test_a_documents_tables_are_what_the_scores_say(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "<!-- scores: " in text
    assert filled(text, read_scores(SCORES)) == text


def test_metadata_holds_the_same_metrics() -> None:
    assert read_json(METADATA)["eval_metrics"] == metrics(read_scores(SCORES))


def test_a_table_has_a_row_for_each_subset_and_means_over_the_cases() -> None:
    case = {f"{metric}_{region}": 0.5 for metric in ("dice", "hd95") for region in ("wt", "tc", "et")}
    other = {**case, "dice_wt": 1.0, "hd95_wt": 2.5}
    scores = {"t1ce+flair": [case, other], "t2": [case]}
    rows = list(TABLES["all"](scores))
    assert len(rows) == 2 + 2
    assert "| t1ce, flair | 0.750 ± 0.35 | 0.500 ± 0.00 | 0.500 ± 0.00 | 0.583 | 1.5 | 0.5 | 0.5 |" in rows


def test_fine_tuning_with_a_teacher_is_compared_with_labels_alone_and_with_the_weights() -> None:
    rows = {row.split(" | ")[0]: row.split(" | ") for row in TABLES["fine_tuned"](read_scores(SCORES))}
    for modality in ("t1", "flair"):
        means = []
        for cell in ("controls_unimodal_instance_norm", "controls_instance_norm"):
            runs = [read_json(path)["cases"] for path in FINE_TUNED.glob(f"runs/{cell}_{modality}_seed*.json")]
            means.append(np.mean([list(case["dice"].values()) for run in runs for case in run.values()]))
        assert rows[f"| {modality}"][3:5] == [f"{mean:.3f}" for mean in means]
        assert float(rows[f"| {modality}"][5].split()[0]) == pytest.approx(means[1] - means[0], abs=5e-4)


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    """Two folds of a learning curve at 4 cases, and one at 8 that has no run from scratch."""
    noise = np.random.default_rng(0)
    for cases, start, folds in ((4, "weights", (0, 1)), (4, "scratch", (0, 1)), (8, "weights", (0,))):
        for fold in folds:
            level = 0.6 if start == "weights" else 0.5
            scores = {
                f"case{fold}{number}": {"dice": {r: level + 0.01 * noise.random() for r in ("wt", "tc", "et")}}
                for number in range(6)
            }
            result = {"cases": cases, "start": start, "fold": fold, "scores": scores}
            write_json(tmp_path / f"t2_{start}_{cases}_fold{fold}.json", result)
    return tmp_path


def test_the_learning_curve_pools_the_folds_and_compares_the_starts_case_by_case(curve: Path) -> None:
    points = read_curve(curve)
    assert [(point.cases, point.start, len(point.dice)) for point in points] == [
        (4, "scratch", 12), (4, "weights", 12), (8, "weights", 6)
    ]  # fmt: skip
    zero = {case: {"wt": 0.25, "tc": 0.5, "et": 0.75} for point in points for case in point.dice}
    scratch, weights, alone = list(curve_table(points, zero))[2:]
    assert scratch.startswith("| 4 | from scratch | 12 | 0.50")
    assert scratch.endswith("| 0.500 |  |")
    assert "| 0.500 | +0.10" in weights or "| 0.500 | +0.09" in weights
    assert weights.endswith(", 0.00049 |")  # the least p that Wilcoxon's test has for 12 pairs, 2 / 2**12
    assert alone.startswith("| 8 | from the weights, half the steps | 6 | 0.60")
    assert alone.endswith("|  |")


def test_its_figure_has_a_line_for_each_start_and_one_for_the_weights_alone(curve: Path) -> None:
    figure = draw_curve(read_curve(curve), {"a": {"wt": 0.25, "tc": 0.5, "et": 0.75}})
    assert [axes.get_title() for axes in figure.axes] == ["WT", "TC", "ET"]
    assert all(len(axes.lines) == 3 for axes in figure.axes)
