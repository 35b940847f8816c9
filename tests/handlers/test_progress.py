"""People see how far a run is and when it will end, and the picture is drawn when it is worth drawing."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pkdr_monai.handlers import ProgressLog, ProgressPlot
from pkdr_monai.handlers import progress as module
from pkdr_monai.handlers.progress import draw_history

PNG = b"\x89PNG"


def test_each_epoch_is_a_line_with_loss_dice_and_time_left(make_run, caplog: pytest.LogCaptureFixture) -> None:
    run = make_run()
    ProgressLog("student").attach(run.trainer)
    with caplog.at_level(logging.INFO, "pkdr_monai"):
        run.go(2)
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("student: epoch 1/2, loss ")
    assert "validation Dice mean 1.000" in caplog.messages[1]
    assert caplog.messages[1].endswith("about 0 s left")


def test_a_long_epoch_does_not_stay_silent(make_run, caplog, monkeypatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.0)
    run = make_run()
    ProgressLog("student").attach(run.trainer)
    with caplog.at_level(logging.INFO, "pkdr_monai"):
        run.go(1)
    assert any("epoch 1/1, step 2/3" in message for message in caplog.messages)


def test_the_finished_run_has_its_picture(make_run, tmp_path: Path) -> None:
    run = make_run()
    ProgressPlot(tmp_path / "progress.png", "student").attach(run.trainer)
    run.go(2)
    assert (tmp_path / "progress.png").read_bytes().startswith(PNG)


def test_short_epochs_are_not_spent_on_drawing(make_run, tmp_path: Path, monkeypatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr("pkdr_monai.handlers.progress.draw_history", lambda rows, path, title: drawn.append(len(rows)))
    run = make_run()
    ProgressPlot(tmp_path / "progress.png").attach(run.trainer)
    run.go(5)
    assert drawn == [1, 5]


def test_rows_without_a_validation_are_drawn_too(tmp_path: Path) -> None:
    draw_history([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4, "val_mean_dice": 0.1}], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
