"""People see how far a run is and when it will end."""

from __future__ import annotations

import logging

import pytest

from pkdr_monai.handlers import ProgressLog
from pkdr_monai.handlers import progress as module


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
