"""A folder of results is read as far as it is there, and its scores are summed up."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.reporting.run import METRICS, facts, read_run, read_scores, summarise, worst_cases

from .conftest import write_scores

DICE = METRICS["dice"].file


def test_training_run_brings_record_history_and_scores(make_run: Callable[..., Path]) -> None:
    run = read_run(make_run())
    assert run.name == "tiny_t2"
    assert run.history[0] == {"epoch": 1.0, "loss": 0.9, "segmentation": 0.5, "patch_kd": 0.4}
    assert list(run.scores) == ["dice", "hd95"]
    assert run.segmentations == {}


def test_folder_of_predictions_brings_its_segmentations(make_predictions: Callable[..., Path]) -> None:
    run = read_run(make_predictions())
    assert run.name == "predictions"
    assert list(run.segmentations) == ["a", "b", "c"]


def test_facts_name_the_hash_of_the_weights(make_run: Callable[..., Path]) -> None:
    folder = make_run(weights=True)
    tables = facts(read_run(folder))
    assert hashlib.sha256((folder / "models/model.pt").read_bytes()).hexdigest() in tables["run"]["weights"]
    assert tables["settings"]["modalities"] == "t2"
    assert tables["environment"] == {"torch": "2.13.0"}


def test_folder_with_nothing_to_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds nothing to report"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="absent is not a folder"):
        read_run(tmp_path / "absent")


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("history.csv", "epoch,loss\n1,much\n", "is not a history: expected a header and numbers"),
        ("history.csv", "loss\n1\n", "has no column epoch"),
        ("run.json", "[1]", "expected a JSON object"),
        ("run.json", "{", "is not valid JSON"),
    ],
)
def test_damaged_file_is_one_sentence(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_run(tmp_path)


def test_scores_are_read_by_case_without_the_paths_of_a_machine(tmp_path: Path) -> None:
    write_scores(tmp_path, DICE, {"/data/HGG/ann": (0.5, 0.6, 0.7)})
    assert read_scores(tmp_path) == {"dice": {"ann": (0.5, 0.6, 0.7)}}


def test_cases_of_nnunets_raw_data_are_named_without_the_channel(tmp_path: Path) -> None:
    """``ann_0002.nii.gz`` is a channel of ``ann`` in raw data, and a case of its own in a folder without channels."""
    raw, plain = (tmp_path / name for name in ("raw", "plain"))
    for folder in (raw, plain):
        (folder / "imagesTr").mkdir(parents=True)
        (folder / "imagesTr/ann_0002.nii.gz").touch()
    (raw / "dataset.json").write_text("{}")
    for folder, case in ((raw, "ann"), (plain, "ann_0002")):
        file = folder / "imagesTr/ann_0002.nii.gz"
        (folder / DICE).write_text(f"filename,class0,class1,class2\n{file},0.5,0.6,0.7\n")
        assert read_scores(folder) == {"dice": {case: (0.5, 0.6, 0.7)}}


def test_folder_without_an_evaluation_has_no_scores(tmp_path: Path) -> None:
    assert read_scores(tmp_path / "absent") == {}


@pytest.mark.parametrize("text", ["case,dice\na,1\n", "filename,class0,class1,class2\na_t2.nii,0.1,x,0.2\n"])
def test_file_of_another_kind_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / DICE).write_text(text)
    with pytest.raises(InputError, match=r"val_mean_dice_raw\.csv is not what an evaluation writes"):
        read_scores(tmp_path)


def test_case_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write_scores(tmp_path, DICE, {"x/a": (1, 1, 1), "y/a": (0, 0, 0)})
    with pytest.raises(InputError, match="has the case a twice"):
        read_scores(tmp_path)


def test_summary_leaves_out_what_is_no_number_and_counts_it() -> None:
    values = {"a": (1.0, 4.0, math.nan), "b": (2.0, math.inf, math.nan), "c": (6.0, 8.0, math.nan)}
    summaries = summarise(values)
    assert list(summaries) == ["tc", "wt"]
    assert (summaries["wt"].count, summaries["wt"].total, summaries["wt"].mean) == (2, 3, 6.0)
    assert (summaries["tc"].median, summaries["tc"].extremes) == (2.0, (1.0, 6.0))
    assert summaries["tc"].deviation == pytest.approx(7**0.5)


def test_worst_cases_are_those_of_the_lowest_mean_dice_and_undefined_ones_come_last() -> None:
    dice = {"good": (0.9, 0.9, 0.9), "undefined": (math.nan,) * 3, "worst": (0.0, 0.9, 0.0), "bad": (0.5, 0.5, 0.5)}
    assert worst_cases({"dice": dice}, 3) == ["worst", "bad", "good"]
    assert worst_cases({}, 3) == []
