"""Ctrl-C says how to continue, and signals are given back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ignite.engine import Engine

from pkdr_monai.errors import Interruption
from pkdr_monai.handlers import StopSignals


@pytest.fixture(autouse=True)
def _signals_given_back() -> Iterator[None]:
    """A suite in the background of a shell ignores SIGINT; here it is as in a process of its own."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    signal.signal(signal.SIGINT, inherited)
    assert after == before


def _train(checkpoint: Path, number: int | None = None) -> None:
    def step(engine: Engine, batch: int) -> None:
        if number is not None and engine.state.epoch == 2:
            os.kill(os.getpid(), number)

    engine = Engine(step)
    StopSignals(checkpoint).attach(engine)
    engine.run([0, 1], max_epochs=3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_training_names_its_last_checkpoint(tmp_path: Path, number: int) -> None:
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(Interruption, match=r"in epoch 2; the last checkpoint is .*checkpoint\.pt.*--resume true"):
        _train(tmp_path / "checkpoint.pt", number)


def test_a_training_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(Interruption, match="in epoch 2; there is no checkpoint yet"):
        _train(tmp_path / "checkpoint.pt", signal.SIGINT)


def test_signals_are_given_back_at_the_end(tmp_path: Path) -> None:
    _train(tmp_path / "checkpoint.pt")


def test_a_signal_that_the_process_ignores_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        _train(tmp_path / "checkpoint.pt", signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_training_in_another_thread_leaves_signals_alone(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            _train(tmp_path / "checkpoint.pt")
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []
