"""A training's state on disk: the checkpoint that resumes it exactly, and weights that are loaded into a network."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pkdr_monai.arguments import switch
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write
from pkdr_monai.modalities import channel_indices
from pkdr_monai.networks import begin_from, load_weights, read_tensors
from pkdr_monai.runs.model_card import ModelCard, card_path

__all__ = ["TrainingCheckpoint", "WeightsLoader", "require_unused"]

CHECKPOINTS = ("checkpoint.pt", "checkpoint_previous.pt")  # the last, and the one before
logger = logging.getLogger("pkdr_monai")


def require_unused(directory: str | Path, resume: bool | str = False) -> None:
    """Make sure that a new run overwrites nothing.

    Args:
        directory: folder of the checkpoints.
        resume: whether the run that is there is to be continued, as in :class:`TrainingCheckpoint`.

    Raises:
        InputError: when the folder holds a run that is not to be resumed.
    """
    if switch(resume):
        return
    for name in (*CHECKPOINTS, "model.pt"):
        if (Path(directory) / name).exists():
            raise InputError(
                f"{directory} already holds {name} of another run. Continue that run with "
                "--resume true, or give this one its own folder with --output_dir."
            )


class TrainingCheckpoint:
    """Save a run after every epoch, continue it from there, and keep the best and the last network.

    Three files, each replaced atomically: ``checkpoint.pt`` holds the distiller (student, heads, projectors), the
    optimiser, the schedule, the epoch and the best validation so far; ``model.pt`` holds the deployable network of the
    best validation, ``model_last.pt`` that of the last epoch, both as plain state dicts. The checkpoint before the last
    stays as ``checkpoint_previous.pt``, which a run continues from when the last one is damaged. Attach it after the
    validation and the schedule. With :class:`ReseedEachEpoch`, a run killed anywhere and resumed ends with the very
    weights of an uninterrupted one.

    Args:
        directory: folder of the files.
        network: the deployable network.
        distiller: all that trains, the network included.
        optimizer: optimiser of the distiller.
        lr_scheduler: schedule of the learning rate.
        evaluator: validation engine; its key metric decides which network is best.
        resume: continue from ``checkpoint.pt``; without one, start afresh. The words ``"true"`` and ``"false"``, as a
            command line gives them, are understood.
        interval: epochs between two checkpoints.
        average: a moving average of the network's weights, Ignite's ``EMAHandler``; its network is then what
            ``model.pt`` and ``model_last.pt`` hold, and the evaluator has to validate it. ``None`` for none.
        initial_weights: file that the network begins from where nothing is resumed, see
            :func:`~pkdr_monai.networks.begin_from`; ``None`` to begin at random.
        initial_channels: the network's input channels within that file.
    """

    def __init__(
        self,
        directory: str | Path,
        network: nn.Module,
        distiller: nn.Module,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler,
        evaluator: Engine,
        resume: bool | str = False,
        interval: int = 1,
        average: EMAHandler | None = None,
        initial_weights: str | Path | None = None,
        initial_channels: Sequence[int] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.trained = network
        self.network = network if average is None else average.ema_model
        self.average = average
        self.initial_weights, self.initial_channels = initial_weights, initial_channels
        self.parts: dict[str, Any] = {"distiller": distiller, "optimizer": optimizer, "lr_scheduler": lr_scheduler}
        if average is not None:
            self.parts["average"] = average.ema_model
        self.evaluator = evaluator
        self.resume = switch(resume)
        self.interval = interval
        self._started = False

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        if self.average is not None:
            self.average.attach(engine)

    def start(self, engine: Engine) -> None:
        """Restore the run, or make sure that a new one overwrites nothing.

        Raises:
            InputError: when the folder holds a run that is not to be resumed, or a checkpoint of another one.
        """
        if self._started:  # a federated client calls run() round by round
            return
        self._started = True
        require_unused(self.directory, self.resume)
        paths = [path for name in CHECKPOINTS if (path := self.directory / name).exists()]
        if paths:
            self._restore(engine, paths)
        else:
            self._begin()

    def _begin(self) -> None:
        if self.initial_weights is not None:
            begin_from(self.trained, self.initial_weights, self.initial_channels)
            self.network.load_state_dict(self.trained.state_dict())

    def _restore(self, engine: Engine, paths: Sequence[Path]) -> None:
        path, state = _first_sound(paths)
        optimizer, schedule = self.parts["optimizer"], self.parts["lr_scheduler"]
        asked = [(group.get("initial_lr", group["lr"]), group.get("weight_decay")) for group in optimizer.param_groups]
        try:
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            epoch = int(state["epoch"])
            best_metric, best_epoch = state["best_metric"], state["best_metric_epoch"]
        except (LookupError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} was written by a run with other settings ({str(error).splitlines()[0][:200]}). "
                "Resume with the settings of that run, or give this one its own --output_dir."
            ) from error
        _apply(optimizer, schedule, asked)
        engine.state.epoch = epoch
        engine.state.iteration = epoch * (engine.state.epoch_length or 0)
        validation: Any = self.evaluator.state  # MONAI adds the best metric to Ignite's state
        validation.best_metric, validation.best_metric_epoch = best_metric, best_epoch

    def save(self, engine: Engine) -> None:
        """Write the best network if this epoch's is, then the checkpoint."""
        if idist.get_rank() != 0:
            return
        epoch = engine.state.epoch
        validation: Any = self.evaluator.state
        if validation.best_metric_epoch == epoch:
            _write(self.directory / "model.pt", self.network.state_dict())
        if epoch % self.interval == 0 or epoch == engine.state.max_epochs:
            state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
            state["epoch"] = epoch
            state["best_metric"] = float(validation.best_metric)
            state["best_metric_epoch"] = validation.best_metric_epoch
            last, before = (self.directory / name for name in CHECKPOINTS)
            _write(last, state, keep=before)

    def finish(self, engine: Engine) -> None:
        """Write the network of the last epoch; without any validation it is the best there is, too."""
        if idist.get_rank() != 0:
            return
        _write(self.directory / "model_last.pt", self.network.state_dict())
        validation: Any = self.evaluator.state
        if validation.best_metric_epoch < 1:
            logger.warning(
                "No epoch was validated (val_interval exceeds max_epochs): model.pt holds the last epoch's network."
            )
            _write(self.directory / "model.pt", self.network.state_dict())


def _apply(optimizer: Optimizer, schedule: LRScheduler, asked: Sequence[tuple[float, float | None]]) -> None:
    """Train on with the rate, the decay and the schedule that are asked for, which a checkpoint's may not be."""
    schedule.base_lrs = [rate for rate, _ in asked]
    for group, (rate, decay) in zip(optimizer.param_groups, asked, strict=True):
        group["initial_lr"] = rate
        if decay is not None:
            group["weight_decay"] = decay
    factors = getattr(schedule, "lr_lambdas", None)
    if factors is not None:
        for group, (rate, _), factor in zip(optimizer.param_groups, asked, factors, strict=True):
            group["lr"] = rate * factor(schedule.last_epoch)


def _first_sound(paths: Sequence[Path]) -> tuple[Path, dict[str, Any]]:
    """Read the first checkpoint that is not damaged, and warn of those that are."""
    for path, other in itertools.pairwise(paths):
        try:
            return path, read_tensors(path)
        except InputError as error:
            logger.warning(f"{error} Continuing from the checkpoint before it, {other}.")
    return paths[-1], read_tensors(paths[-1])


def _write(path: Path, state: dict[str, Any], keep: Path | None = None) -> None:
    with atomic_write(path, keep) as file:
        torch.save(state, file)


class WeightsLoader:
    """Fill the network from a checkpoint when the engine first starts.

    MONAI's ``CheckpointLoader`` does the same with a stack trace; this one with one sentence.

    Args:
        network: network to fill.
        path: a plain state dict of tensors.
        modalities: what the network sees. Weights whose card says that they serve any subset of their modalities then
            fill a network of these alone; ``None`` where the network has all that the weights have.
    """

    def __init__(self, network: nn.Module, path: str | Path, modalities: Sequence[str] | None = None) -> None:
        self.network = network
        self.path = path
        self.modalities = modalities
        self._loaded = False

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Read the weights.

        Raises:
            InputError: when the file is absent, damaged or another network's.
        """
        if not self._loaded:
            load_weights(self.network, self.path, self._channels())
            logger.info("weights: %s", self.path)
            self._loaded = True

    def _channels(self) -> tuple[int, ...] | None:
        if self.modalities is None or hasattr(self.network, "available") or not card_path(self.path).is_file():
            return None
        card = ModelCard.read(card_path(self.path))
        return channel_indices(self.modalities, card.network["modalities"]) if card.any_subset else None
