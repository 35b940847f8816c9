"""What happened in each epoch, as numbers: loss parts, validation metrics, learning rate and time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

from pkdr_monai.runs.history import read_history, write_history

__all__ = ["History"]


class History:
    """Collect one row for each epoch and keep them in a CSV file.

    A row holds ``epoch``, ``loss``, every part that the loss function lists in its ``parts`` (unweighted means over the
    epoch), the evaluator's metrics (empty in epochs without a validation), ``learning_rate`` and ``seconds``. The file
    is replaced atomically; a resumed run drops the rows that it is going to repeat. Other handlers find the rows under
    ``engine.state.history``. Attach it behind the validation.

    Args:
        path: the CSV file.
        loss_function: loss of the trainer; a ``parts`` attribute, ``{name: tensor}``, is optional.
        optimizer: optimiser whose learning rate is noted.
        evaluator: validation engine.
    """

    def __init__(self, path: str | Path, loss_function: nn.Module, optimizer: Optimizer, evaluator: Engine) -> None:
        self.path = Path(path)
        self.loss_function = loss_function
        self.optimizer = optimizer
        self.evaluator = evaluator
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, torch.Tensor] = {}
        self._started = 0.0
        self._learning_rate = 0.0

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.close)

    def start(self, engine: Engine) -> None:
        """Begin an epoch's sums; before the first, read what a run that is resumed wrote."""
        if not self.rows:
            self._recall(engine)
        self._sums = {}
        self._started = time.perf_counter()
        self._learning_rate = float(self.optimizer.param_groups[0]["lr"])

    def add(self, engine: Engine) -> None:
        """Add a step's loss and its parts, on their device."""
        output: Any = engine.state.output  # MONAI's trainer gives an entry for each case, and each the batch's loss
        parts = {"loss": output[0]["loss"], **getattr(self.loss_function, "parts", {})}
        for name, value in parts.items():
            value = torch.as_tensor(value).detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def close(self, engine: Engine) -> None:
        """Complete the epoch's row and write the file."""
        row: dict[str, float] = {"epoch": engine.state.epoch}
        length = engine.state.epoch_length or 1
        row.update({name: float(total) / length for name, total in self._sums.items()})
        if self.evaluator.state.epoch == engine.state.epoch:
            row.update({name: float(value) for name, value in self.evaluator.state.metrics.items()})
        row["learning_rate"] = self._learning_rate
        row["seconds"] = time.perf_counter() - self._started
        self.rows.append(row)
        state: Any = engine.state
        state.history = self.rows
        if idist.get_rank() == 0:
            write_history(self.path, self.rows)

    def _recall(self, engine: Engine) -> None:
        """Read the rows that a resumed run wrote before the epoch that starts."""
        if engine.state.epoch > 1 and self.path.exists():
            self.rows = [row for row in read_history(self.path) if row["epoch"] < engine.state.epoch]
