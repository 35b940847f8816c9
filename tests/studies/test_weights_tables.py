"""The documents say of the shipped weights what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.weights_tables import METADATA, SCORES, TABLES, documents, filled, metrics, read_scores
from pkdr_monai.files import read_json


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
