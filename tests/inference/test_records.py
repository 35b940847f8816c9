"""A case counts as done only while its images, its models, its settings and its results are what they were."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_object, write_json
from pkdr_monai.inference.predictor import Settings
from pkdr_monai.inference.results import case_inputs, case_key, clear_results, finished_record
from pkdr_monai.inference.scans import Scan, find_scans
from pkdr_monai.runs.model_card import ModelCard


@pytest.fixture
def card(runs: Path) -> ModelCard:
    return ModelCard.read(runs / "pkdr_flair" / "models" / "model.json")


def test_the_key_follows_whatever_changes_the_result(scan: Scan, card: ModelCard) -> None:
    inputs = case_inputs(scan, ["flair"])
    keys = {
        case_key(inputs, [card], Settings(), "float32"),
        case_key(inputs, [card], Settings(), "bfloat16"),
        case_key(inputs, [card], Settings(fast=True), "float32"),
        case_key(inputs, [replace(card, sha256="0")], Settings(), "float32"),
        case_key(inputs, [replace(card, spacing=(1.0, 1.0, 1.0))], Settings(), "float32"),
        case_key(case_inputs(scan, ["t2"]), [card], Settings(), "float32"),
    }
    assert len(keys) == 6


def test_where_a_file_lies_does_not_matter(scan: Scan, card: ModelCard, tmp_path: Path) -> None:
    moved = shutil.copy(scan.paths(["flair"])[0], tmp_path / "other_flair.nii.gz")
    (other,) = find_scans([moved])
    keys = [case_key(case_inputs(one, ["flair"]), [card], Settings(), "float32") for one in (scan, other)]
    assert keys[0] == keys[1]


def test_a_record_stands_only_with_its_results(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"key": "a", "outputs": ["seg.nii.gz"]})
    assert finished_record(tmp_path, "a") is None
    (tmp_path / "seg.nii.gz").touch()
    assert finished_record(tmp_path, "a") == {"key": "a", "outputs": ["seg.nii.gz"]}
    assert finished_record(tmp_path, "b") is None
    (tmp_path / "record.json").write_text("half a rec")
    assert finished_record(tmp_path, "a") is None
    assert finished_record(tmp_path / "absent", "a") is None


def test_earlier_results_are_cleared_and_foreign_files_stay(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"key": "a", "outputs": ["seg.nii.gz", "../outside"]})
    for name in ("seg.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / ".seg.nii.gz.abcd1234.tmp").touch()  # of a process that was killed
    (tmp_path.parent / "outside").touch()
    clear_results(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "record.json"]
    assert read_object(tmp_path / "record.json")["status"] == "unfinished"
    assert (tmp_path.parent / "outside").exists()
    clear_results(tmp_path / "absent")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ann_flair.nii.gz"
    path.touch()
    (scan,) = find_scans([path])
    path.unlink()
    with pytest.raises(InputError, match=r"cannot read .*ann_flair"):
        case_inputs(scan, ["flair"])
