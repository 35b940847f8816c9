"""Folders are scored case by case, what has no partner is named, and machines and people can read the scores."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai import DISCLAIMER
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.scoring.case import columns
from pkdr_monai.scoring.cohort import Scored, score_label_maps, summary, table, write_scores
from tests.conftest import volumes
from tests.scoring.conftest import random_label

Writer = Callable[..., Path]


def test_predictions_meet_the_labels_of_a_data_set(dataset: Path, write_labels: Writer) -> None:
    label = volumes()["seg"]
    predictions = write_labels("predictions", {"001.nii.gz": label, "C/C_t2_seg.nii.gz": label, "x.nii.gz": label})
    calls: list[tuple[int, int]] = []
    scored = score_label_maps(predictions, dataset, progress=lambda done, total: calls.append((done, total)))
    assert {case: scores["dice_mean"] for case, scores in scored.cases.items()} == {"001": 1.0, "c": 1.0}
    assert (scored.without_truth, scored.without_prediction) == (("x",), ("1e5",))
    assert scored.options["label_scheme"] == scored.options["truth_scheme"] == "brats2018"
    assert scored.inputs["001"]["prediction"]["sha256"] == file_hash(predictions / "001.nii.gz")
    assert calls == [(1, 2), (2, 2)]


def test_schemes_of_both_folders_are_minded(write_labels: Writer) -> None:
    truth = write_labels("labelsTr", {"a.nii.gz": random_label(1, "msd")})
    predictions = write_labels("predictions", {"a.nii.gz": random_label(1, "brats2023")})
    scored = score_label_maps(predictions, truth, "brats2023", "msd")
    assert scored.cases["a"]["dice_mean"] == 1.0


def test_folders_without_a_common_name_are_refused_with_names_of_both(dataset: Path, write_labels: Writer) -> None:
    predictions = write_labels("predictions", {"x.nii.gz": random_label(0)})
    with pytest.raises(InputError, match=r"no prediction in .* \(x\) has the name of a case in .* \(001, 1e5, c\)"):
        score_label_maps(predictions, dataset)


def test_a_wrong_grid_stops_before_anything_is_scored(
    dataset: Path, write_labels: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkdr_monai.scoring.cohort.score_case", lambda *_: pytest.fail("scored"))
    label = volumes()["seg"]
    predictions = write_labels("predictions", {"001.nii.gz": label, "c.nii.gz": label[1:]})
    with pytest.raises(InputError, match="case c: the prediction has 7x9x7 voxels"):
        score_label_maps(predictions, dataset)


@pytest.mark.parametrize(("option", "value"), [("et_rule", -1.0), ("label_scheme", "brats")])
def test_options_are_checked_before_anything_is_read(option: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=option):
        score_label_maps(tmp_path, tmp_path, **{option: value})  # type: ignore[arg-type]


def test_a_rule_of_0_scores_what_was_scored_without_one(dataset: Path, write_labels: Writer) -> None:
    predictions = write_labels("predictions", {"c.nii.gz": np.where(volumes()["seg"] == 2, 0, volumes()["seg"])})
    assert score_label_maps(predictions, dataset).cases == score_label_maps(predictions, dataset, et_rule=0).cases


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
