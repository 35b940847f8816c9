"""Ctrl-C, and the SIGTERM of a job scheduler, end a training with a sentence that says how it continues."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from ignite.engine import Engine, Events

from pkdr_monai.errors import Interruption

__all__ = ["StopSignals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
DEFAULT = (signal.SIG_DFL, signal.default_int_handler)


class StopSignals:
    """Turn SIGINT and SIGTERM into an :class:`~pkdr_monai.errors.Interruption` that names the checkpoint.

    Nothing is written: a run continues from the end of an epoch, where its checkpoint is, with the very weights of an
    uninterrupted one. A signal that the process handles in its own way, or ignores, is left as it is.

    Args:
        checkpoint: file of the last checkpoint.
    """

    def __init__(self, checkpoint: str | Path) -> None:
        self.checkpoint = Path(checkpoint)
        self._previous: dict[int, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.COMPLETED, self.finish)

    def start(self, engine: Engine) -> None:
        """Listen to the signals; only a process's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, frame: FrameType | None) -> None:
            self.finish(engine)
            last = (
                f"the last checkpoint is {self.checkpoint}"
                if self.checkpoint.exists()
                else "there is no checkpoint yet"
            )
            how = "continue with the same command and --resume true"
            raise Interruption(f"in epoch {engine.state.epoch}; {last}; {how}.")

        own = [number for number in SIGNALS if signal.getsignal(number) in DEFAULT]
        self._previous |= {number: signal.signal(number, stop) for number in own}

    def finish(self, engine: Engine) -> None:
        """Leave the signals as they were."""
        while self._previous:
            signal.signal(*self._previous.popitem())
