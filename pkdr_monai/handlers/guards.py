"""What stops a training or keeps it sound: its folder, NaN, signals."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import nn

from pkdr_monai.errors import Interruption, RunError
from pkdr_monai.files import FolderLock, remove_unfinished
from pkdr_monai.handlers.checkpoint import require_unused

__all__ = ["RunFolder", "StopOnNan", "StopSignals", "require_free_folder"]


def require_free_folder(directory: str | Path, checkpoints: str | Path, resume: bool | str = False) -> None:
    """Refuse a run's folder before a case is loaded: another training is at it, or it holds a run that is not resumed.

    Args:
        directory: the run's folder.
        checkpoints: folder of its checkpoints.
        resume: whether the run that is there is to be continued, as in :class:`TrainingCheckpoint`.

    Raises:
        InputError: when the folder is not free.
    """
    if Path(directory).is_dir() and idist.get_rank() == 0:
        with _lock_of(directory):
            pass
    require_unused(checkpoints, resume)


def _lock_of(directory: str | Path) -> FolderLock:
    return FolderLock(
        directory,
        f"another training is writing to {directory}. Wait for its end, or give this one its own folder with "
        "--output_dir.",
    )


class RunFolder:
    """Keep a second training out of a run's folder, and remove files that a killed one had half written.

    Attach it before all that writes.

    Args:
        directory: the run's folder.
        checkpoints: folder of its checkpoints.
    """

    def __init__(self, directory: str | Path, checkpoints: str | Path) -> None:
        self.directory = Path(directory)
        self.checkpoints = Path(checkpoints)
        self._lock = _lock_of(directory)

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; only the first process of a distributed run holds the folder."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.STARTED, self.take)
            engine.add_event_handler(Events.COMPLETED, self.give_back)

    def take(self, engine: Engine) -> None:
        """Take the folder, and tidy it.

        Raises:
            InputError: when another process trains in it.
        """
        self._lock.take()
        for folder in (self.directory, self.checkpoints):
            remove_unfinished(folder)

    def give_back(self, engine: Engine) -> None:
        """Let others in."""
        self._lock.give_back()


WHAT_TO_DO = (
    "The last checkpoint is sound. Check the data with `pkdr data check`, or train with a lower --learning_rate."
)


class StopOnNan:
    """Stop when the loss, or a weight after an epoch, is NaN or infinite.

    Ignite's ``TerminateOnNan`` looks after the optimiser's step and lets the epoch's end save what that made of the
    network. This one looks before it, names the cases of the batch, and lets nothing be saved. Attach it before the
    validation and the checkpoint.

    Args:
        network: all that trains.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)

    def check_loss(self, engine: Engine) -> None:
        """Look at the loss of a batch.

        Raises:
            RunError: when it is not finite.
        """
        state: Any = engine.state
        loss = state.output["loss"]
        if not bool(torch.isfinite(loss)):
            cases = state.batch.get("case") if isinstance(state.batch, dict) else None
            where = f" on the cases {', '.join(cases)}" if cases else ""
            raise RunError(f"the loss is {loss.item():g} in epoch {state.epoch}{where}. {WHAT_TO_DO}")

    def check_weights(self, engine: Engine) -> None:
        """Look at the weights, since a finite loss can have a gradient that is none.

        Raises:
            RunError: when one is not finite.
        """
        for name, value in self.network.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise RunError(f"the weights {name} are NaN or infinite after epoch {engine.state.epoch}. {WHAT_TO_DO}")


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
