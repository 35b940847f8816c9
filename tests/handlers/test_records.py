"""A run says what it was: its record, a row for each epoch, and the card of its weights."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events

from pkdr_monai.errors import InputError
from pkdr_monai.handlers import ModelCardWriter, RunRecord
from pkdr_monai.handlers.records import known_card
from pkdr_monai.losses import PatchSelectionLoss, PKDRLoss
from pkdr_monai.runs.model_card import Evaluation, ModelCard, file_hash

DATA_LIST = {"name": "cohort", "hash": "abc", "training": [1, 2], "validation": [3], "test": []}
CARD = ModelCard("student", ("t2",), {"_target_": "x"}, (1.0, 1.0, 1.0), (16, 16, 16))


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


def test_the_record_of_a_run_that_was_over_stays_when_it_is_resumed(make_run, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run = make_run()
    _record(run, path).attach(run.trainer)
    run.go(4)
    before = json.loads(path.read_text())
    path.write_text(json.dumps({**before, "status": "running"}))  # killed between its last checkpoint and its end
    again = make_run(resume=True)
    _record(again, path).attach(again.trainer)
    again.go(4)
    after = json.loads(path.read_text())
    assert after["status"] == "finished"
    assert {name: after[name] for name in ("best", "epoch", "first_epoch", "max_epochs", "started")} == {
        name: before[name] for name in ("best", "epoch", "first_epoch", "max_epochs", "started")
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seed": 4}, "holds a run whose seed is 3, and here it is 4: resume with the settings of that run"),
        ({"data_list": {**DATA_LIST, "hash": "other"}}, "holds a run whose data list is abc, and here it is other"),
        ({"learning_rate": 0.01}, None),
    ],
)
def test_a_run_is_resumed_on_its_own_cases_and_settings_alone(
    change: dict, text: str | None, make_run, tmp_path: Path
) -> None:
    def record(run, data_list: dict = DATA_LIST, **settings: object) -> None:
        described = {"seed": 3, "learning_rate": 0.1, **settings}
        RunRecord(tmp_path / "run.json", described, data_list, torch.device("cpu"), run.evaluator).attach(run.trainer)

    first, again = make_run(), make_run(resume=True)
    record(first)
    first.go(2)
    record(again, **change)
    if text is None:
        again.go(4)
    else:
        with pytest.raises(InputError, match=text):
            again.go(4)
        assert json.loads((tmp_path / "run.json").read_text())["status"] == "finished"


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


@pytest.mark.parametrize(("roi_size", "named"), [([128, 128, 96], ""), ([32, 40, 24], "sides of 40, 24 voxels")])
def test_crops_that_would_be_padded_are_warned_of(
    make_run, tmp_path: Path, caplog: pytest.LogCaptureFixture, roi_size: list[int], named: str
) -> None:
    run = make_run()
    _record(run, tmp_path / "run.json", roi_size=roi_size).attach(run.trainer)
    run.go(1)
    assert ("which 16 does not divide" in caplog.text) is bool(named)
    assert named in caplog.text


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_holds_parts_metrics_rate_and_time(make_run, tmp_path: Path) -> None:
    make_run().go(4)
    rows = _rows(tmp_path / "run/history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert set(rows[0]) == {"epoch", "loss", "near", "far", "val_mean_dice", "learning_rate", "seconds"}
    for row in rows:
        assert float(row["loss"]) == pytest.approx(3 * float(row["near"]), rel=1e-4)
        assert float(row["far"]) == pytest.approx(2 * float(row["near"]), rel=1e-4)
    assert [row["val_mean_dice"] for row in rows] == ["", "1", "", "0.333333"]


def test_the_rate_is_the_one_that_the_epoch_trained_with(make_run, tmp_path: Path) -> None:
    make_run().go(3)
    rates = [float(row["learning_rate"]) for row in _rows(tmp_path / "run/history.csv")]
    assert rates == pytest.approx([0.1, 0.09, 0.081])


def test_a_resumed_run_continues_the_rows_without_a_gap_or_a_repeat(make_run, tmp_path: Path) -> None:
    make_run("whole").go(4)
    make_run("broken").go(2)
    extra = tmp_path / "broken/history.csv"
    extra.write_text(extra.read_text() + "3,9,9,9,,9,9\n")  # written, but killed before the checkpoint of epoch 3
    make_run("broken", resume=True).go(4)
    whole, broken = _rows(tmp_path / "whole/history.csv"), _rows(extra)
    for row in (*whole, *broken):
        del row["seconds"]
    assert broken == whole


@pytest.mark.parametrize("content", ["epoch,loss\n1,half\n", "loss\n1\n", "epoch,loss\n1,2,3\n", "\x00\x80"])
def test_a_damaged_history_is_named_when_a_run_goes_on(make_run, tmp_path: Path, content: str) -> None:
    make_run().go(2)
    (tmp_path / "run/history.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"history\.csv is not a history"):
        make_run(resume=True).go(3)
    (tmp_path / "run/history.csv").unlink()
    make_run(resume=True).go(3)
    assert [row["epoch"] for row in _rows(tmp_path / "run/history.csv")] == ["3"]


def test_the_card_follows_the_weights(make_run, tmp_path: Path) -> None:
    run = make_run()
    weights = tmp_path / "run" / "models" / "model.pt"
    ModelCardWriter(CARD, weights).attach(run.trainer)
    hashes = []

    @run.trainer.on(Events.EPOCH_COMPLETED)
    def _note(engine: Engine) -> None:
        card = weights.with_suffix(".json")
        hashes.append(ModelCard.read(card).sha256 if card.exists() else None)

    run.go(4)
    assert hashes[0] is None  # no validation, no weights yet
    assert ModelCard.read(weights.with_suffix(".json")).sha256 == file_hash(weights)


def test_a_resumed_run_keeps_the_evaluation_of_the_same_weights_and_drops_that_of_others(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"one")
    evaluated = replace(CARD.with_weights(weights), evaluation=Evaluation.of_scores([[0.1, 0.2, 0.3]], {}, "test"))
    evaluated.write()
    engine = Engine(lambda engine, batch: None)
    ModelCardWriter(CARD, weights).attach(engine)
    engine.run([0])
    assert ModelCard.read(tmp_path / "model.json").evaluation == evaluated.evaluation
    weights.write_bytes(b"other")
    engine.run([0])
    assert ModelCard.read(tmp_path / "model.json").evaluation is None


def test_a_damaged_card_is_not_known(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"one")
    card = CARD.with_weights(weights)
    assert known_card(card) is None
    (tmp_path / "model.json").write_text("{}")
    assert known_card(card) is None
    card.write()
    assert known_card(card) == card
