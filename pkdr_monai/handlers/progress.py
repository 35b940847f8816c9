"""How far a training is, as lines of the log and as a plot."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from pkdr_monai.files import atomic_write
from pkdr_monai.runs.record import duration

__all__ = ["ProgressLog", "ProgressPlot", "draw_history"]

SILENCE = 30.0  # seconds without a line within an epoch
RECENT_EPOCHS = 20  # epochs whose median time is the estimate for those to come


class ProgressLog:
    """Log each epoch's loss, validation Dice and the estimated time left. Attach it after a :class:`History`.

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
        """Register with the trainer; only the first process of a distributed run logs."""
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


Rows = Sequence[dict[str, float]]


class ProgressPlot:
    """Draw the loss, its parts, the validation Dice and the learning rate by epoch into ``progress.png``.

    Attach it after a :class:`History`.

    Args:
        path: picture to write.
        title: title of the picture.
        interval: seconds that must pass between two drawings, so that short epochs are not spent on them.
    """

    def __init__(self, path: str | Path, title: str = "", interval: float = 30.0) -> None:
        self.path = Path(path)
        self.title = title
        self.interval = interval
        self._drawn = float("-inf")

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; only the first process of a distributed run draws."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Draw, unless the last picture is fresh."""
        finished = engine.last_event_name == Events.COMPLETED
        rows = getattr(engine.state, "history", None)
        if not rows or (not finished and time.perf_counter() - self._drawn < self.interval):
            return
        draw_history(rows, self.path, self.title)
        self._drawn = time.perf_counter()


def draw_history(rows: Rows, path: str | Path, title: str = "") -> None:
    """Draw the rows of a :class:`History` into a PNG file.

    Args:
        rows: at least one row, each with ``epoch`` and ``loss``.
        path: picture to write, atomically.
        title: title of the picture.
    """
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    (total, dice), (parts, rate) = figure.subplots(2, 2)
    names = list(dict.fromkeys(name for row in rows for name in row))
    metrics = [name for name in names if "dice" in name]
    others = {"epoch", "loss", "learning_rate", "seconds"}
    _draw(total, rows, ["loss"], "training loss")
    _draw(dice, rows, metrics, "validation Dice")
    _draw(parts, rows, [name for name in names if name not in others | set(metrics)], "parts of the loss, unweighted")
    for axes in (total, parts):
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
    _draw(rate, rows, ["learning_rate"], "learning rate")
    figure.suptitle(title)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)


def _draw(axes: Axes, rows: Rows, names: Sequence[str], title: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    for name in names:
        drawn = [row for row in rows if name in row]
        axes.plot(
            [row["epoch"] for row in drawn],
            [row[name] for row in drawn],
            label=name.removeprefix("val_").replace("_", " "),
            linewidth=1.2,
        )
    if len(names) > 1:
        axes.legend(fontsize=8)
    if names and all("dice" in name for name in names):
        axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
