from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.reporting.gallery import Gallery
from pkdr_monai.reporting.page import ABSENT
from pkdr_monai.reporting.report import report_content
from pkdr_monai.reporting.run import Run, read_run


def test_case_table_has_every_score_and_a_dash_for_what_is_none(make_run: Callable[..., Path]) -> None:
    table = report_content(read_run(make_run()), Gallery(), False)["case_table"]
    assert table.headings[:5] == ["case", "Dice TC", "Dice WT", "Dice ET", "Dice mean"]
    assert [cell.text for cell in table.rows[0]] == [
        "a",
        "0.900",
        "0.950",
        "0.500",
        "0.783",
        "10.0",
        "3.0",
        *2 * ABSENT,
    ]


def test_what_is_missing_is_said_with_what_brings_it(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("epoch,loss\n1,0.5\n")
    missing = report_content(read_run(tmp_path), Gallery(), False)["missing"]
    assert [note.split(":")[0] for note in missing] == [
        "Settings, hashes and versions",
        "Scores",
        "Pictures, the viewer and calibration",
    ]
    assert "pass --dataset_dir" in missing[2]


def test_nothing_is_missing_where_all_is_there(make_run: Callable[..., Path]) -> None:
    content = report_content(read_run(make_run()), Gallery(), True)
    assert content["missing"] == []
    assert list(content["sections"]) == ["scores", "cases", "training", "record"]


def test_segmentations_without_scores_are_shown_with_their_volumes(make_predictions: Callable[..., Path]) -> None:
    run = read_run(make_predictions(["a"]))
    content = report_content(run, Gallery(), False)
    assert content["kind"] == "Predictions"
    assert content["case_table"].headings == ["case", "TC (ml)", "WT (ml)", "ET (ml)"]
    assert [cell.text for cell in content["case_table"].rows[0]] == ["a", "20.7", "82.9", "0.0"]


def test_labels_of_another_scheme_are_refused_and_can_be_named(write_case: Callable[..., Path]) -> None:
    folder = write_case("a", {"seg": "a_seg.nii.gz"}, et=3)
    run = read_run(folder)
    with pytest.raises(InputError, match="label value 3 is not in scheme 'brats2018'"):
        report_content(run, Gallery(), False)
    assert report_content(run, Gallery(), False, "brats2023")["case_table"].rows[0][3].value != "0.0"


def test_headline_says_of_how_many_cases_a_mean_is() -> None:
    scores = {"hd95": {"a": (1.0, 2.0, 3.0), "b": (2.0, 2.0, float("inf"))}}
    headline = report_content(Run(Path("r"), scores=scores), Gallery(), True)["headline"]
    assert [figure["name"] for figure in headline] == [
        "HD95 TC, mean of 2",
        "HD95 WT, mean of 2",
        "HD95 ET, mean of 1",
    ]
    assert headline[0]["value"] == "1.5\N{NO-BREAK SPACE}mm"
