"""Scores can be read by machines and by people, and say what they came from."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import pytest

from pkdr_monai import DISCLAIMER
from pkdr_monai.errors import InputError
from pkdr_monai.scoring.case import columns
from pkdr_monai.scoring.cohort import Scored
from pkdr_monai.scoring.results import summary, table, write_scores


def scored(et_rule: float = 0.0) -> Scored:
    values = {"a": 0.25, "b": 0.5, "c": 1.0}
    cases = {case: dict.fromkeys(columns(et_rule), value) for case, value in values.items()}
    inputs = {case: {"prediction": {"file": f"{case}.nii.gz", "sha256": "0"}} for case in cases}
    return Scored(cases, inputs, {"et_rule": et_rule, "truth": "folder"}, ("x",), ("y",))


def test_the_summary_is_that_of_the_statistics_module() -> None:
    values = (0.25, 0.5, 1.0)
    expected = {"mean": statistics.mean(values), "sd": statistics.stdev(values), "median": 0.5, "n": 3}
    assert summary(scored())["dice_tc"] == pytest.approx(expected)


def test_both_files_hold_every_case(tmp_path: Path) -> None:
    rows, whole = write_scores(scored(500), tmp_path / "out")
    with rows.open() as file:
        read = list(csv.DictReader(file))
    assert [row["case"] for row in read] == ["a", "b", "c"]
    assert tuple(read[0]) == ("case", *columns(500))
    assert float(read[0]["dice_et_rule"]) == 0.25
    record = json.loads(whole.read_text())
    assert record["cases"] == scored(500).cases
    assert (record["without_truth"], record["without_prediction"]) == (["x"], ["y"])
    assert record["scores"] == summary(scored(500))
    assert (record["options"]["et_rule"], record["note"]) == (500, DISCLAIMER)
    assert record["inputs"]["a"]["prediction"]["sha256"] == "0"


def test_the_table_names_the_rule_where_it_is_on() -> None:
    assert not any("ET*" in line for line in table(scored()))
    lines = table(scored(500))
    assert lines[0].split() == ["3", "cases", "WT", "TC", "ET", "mean", "ET*"]
    assert lines[-1] == "* predictions with less than 500 mm³ of ET: counted as necrosis"
    assert len({len(line) for line in lines[:-1]}) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to"):
        write_scores(scored(), tmp_path / "file")
