from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.reporting.run import facts, read_run


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
