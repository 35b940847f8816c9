"""A run says what it was, while it runs and afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from pkdr_monai.handlers import RunRecord
from pkdr_monai.losses import PatchSelectionLoss, PKDRLoss

DATA_LIST = {"name": "cohort", "hash": "abc", "training": [1, 2], "validation": [3], "test": []}


def _record(run, path: Path, **settings: object) -> RunRecord:
    return RunRecord(path, {"seed": 3, **settings}, DATA_LIST, torch.device("cpu"), run.evaluator)


def test_a_finished_run_is_recorded_with_its_best_epoch(make_run, tmp_path: Path) -> None:
    run = make_run()
    _record(run, tmp_path / "run.json").attach(run.trainer)
    run.go(4)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["best"] == {"metric": "val_mean_dice", "value": 1.0, "epoch": 2}
    assert record["data_list"] == {
        "name": "cohort",
        "hash": "abc",
        "cases": {"training": 2, "validation": 1, "test": 0},
    }
    assert record["environment"]["torch"].startswith(torch.__version__.split("+")[0])
    assert record["peak_memory_mib"] > 0
    assert (record["first_epoch"], record["epoch"], record["max_epochs"]) == (1, 4, 4)


def test_a_failed_run_says_why_and_still_fails(make_run, tmp_path: Path) -> None:
    run = make_run()
    _record(run, tmp_path / "run.json").attach(run.trainer)

    @run.trainer.on(Events.EPOCH_COMPLETED)
    def _fail() -> None:
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        run.go(2)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", "RuntimeError: the disk is full")


def test_the_hash_follows_the_settings(make_run, tmp_path: Path) -> None:
    run = make_run()
    hashes = {_record(run, tmp_path / "r.json", loss=loss).record["settings_hash"] for loss in (1, 2, 1)}
    assert len(hashes) == 2


def test_ctrl_c_is_not_taken_for_a_failure(make_run, tmp_path: Path) -> None:
    run = make_run()
    _record(run, tmp_path / "run.json").attach(run.trainer)

    @run.trainer.on(Events.EPOCH_COMPLETED)
    def _press() -> None:
        raise KeyboardInterrupt("in epoch 1")

    with pytest.raises(KeyboardInterrupt):
        run.go(2)
    record = json.loads((tmp_path / "run.json").read_text())
    assert (record["status"], record["error"]) == ("interrupted", "KeyboardInterrupt: in epoch 1")


def test_a_record_that_cannot_be_written_does_not_hide_what_went_wrong(make_run, tmp_path: Path, monkeypatch) -> None:
    run = make_run()
    _record(run, tmp_path / "run.json").attach(run.trainer)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    @run.trainer.on(Events.EPOCH_COMPLETED)
    def _fail() -> None:
        monkeypatch.setattr("pkdr_monai.handlers.records.write_json", fail)
        raise RuntimeError("the first error")

    with pytest.raises(RuntimeError, match="the first error"):
        run.go(2)


@pytest.mark.parametrize(
    ("loss", "spacing", "warned"),
    [
        (PKDRLoss(), [1.0, 1.0, 2.5], False),  # 40 mm at most
        (PKDRLoss(), [1.0, 1.0, 3.0], True),
        (PKDRLoss(patch_selection=PatchSelectionLoss(8)), [3.0, 3.0, 3.0], False),
        (PKDRLoss(alpha=0.0, beta=0.0), [6.0, 6.0, 6.0], False),  # compares no patches
        (torch.nn.BCEWithLogitsLoss(), [6.0, 6.0, 6.0], False),
    ],
)
def test_patches_of_over_40_mm_are_warned_of(
    make_run, tmp_path: Path, caplog: pytest.LogCaptureFixture, loss: object, spacing: list[float], warned: bool
) -> None:
    run = make_run()
    _record(run, tmp_path / "run.json", loss=loss, spacing=spacing).attach(run.trainer)
    run.go(1)
    assert ("48 mm wide here; the paper's are 16 mm" in caplog.text) is warned
