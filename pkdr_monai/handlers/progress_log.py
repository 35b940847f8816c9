"""A line for each epoch, and for each half minute of a long one, with the time that is left."""

from __future__ import annotations

import logging
import statistics
import time
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from pkdr_monai.runs.record import duration

__all__ = ["ProgressLog"]

SILENCE = 30.0  # seconds without a line within an epoch
RECENT_EPOCHS = 20  # epochs whose median time is the estimate for those to come


class ProgressLog:
    """Log each epoch's loss, validation Dice and the estimated time left. Attach it behind a :class:`History`.

    Args:
        name: name of the run, at the start of each line.
    """

    def __init__(self, name: str = "training") -> None:
        self.name = name
        self.logger = logging.getLogger("pkdr_monai")
        self._last_line = 0.0
        self._epoch_started = 0.0
        self._seconds: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; only the first process of a distributed run speaks."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_STARTED, self.start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.step)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.close)

    def start(self, engine: Engine) -> None:
        """Begin an epoch."""
        self._epoch_started = self._last_line = time.perf_counter()

    def step(self, engine: Engine) -> None:
        """Break a long silence within an epoch."""
        now = time.perf_counter()
        length, epochs = engine.state.epoch_length or 1, engine.state.max_epochs or 1
        done = (engine.state.iteration - 1) % length + 1
        if now - self._last_line < SILENCE or done == length:
            return
        self._last_line = now
        estimate = (now - self._epoch_started) / done * length
        left = estimate * (epochs - engine.state.epoch + 1) - (now - self._epoch_started)
        self.logger.info(
            f"{self.name}: epoch {engine.state.epoch}/{epochs}, step {done}/{length}, about {duration(left)} left"
        )

    def close(self, engine: Engine) -> None:
        """Sum an epoch up."""
        state: Any = engine.state
        row, epoch, epochs = state.history[-1], state.epoch, state.max_epochs
        self._seconds.append(row["seconds"])
        left = statistics.median(self._seconds[-RECENT_EPOCHS:]) * (epochs - epoch)
        metrics = [
            f"{name.removeprefix('val_mean_dice').strip('_') or 'mean'} {row[name]:.3f}"
            for name in row
            if "dice" in name
        ]
        dice = f", validation Dice {' '.join(metrics)}" if metrics else ""
        self.logger.info(
            f"{self.name}: epoch {epoch}/{epochs}, loss {row['loss']:.4f}{dice}, "
            f"{row['seconds']:.1f} s, about {duration(left)} left"
        )
