"""What a training notes: its history, its record, the card of its model and what an evaluation adds to it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

import pkdr_monai
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, read_object, write_json
from pkdr_monai.losses.patch_selection import LARGEST_PATCH
from pkdr_monai.networks.blocks import STRIDE
from pkdr_monai.runs.model_card import Evaluation, ModelCard, card_path, data_source
from pkdr_monai.runs.record import environment, now
from pkdr_monai.runs.tables import read_history, write_history
from pkdr_monai.system import peak_memory

__all__ = ["ExpectedDice", "History", "ModelCardWriter", "RunRecord", "known_card"]

PATCH_TERMS = {"patch_selection", "patch_kd", "patch_contrastive"}
KEPT = ("modalities", "seed", "batch_size", "spacing", "roi_size", "loss")
"""The settings that a resumed run must share with the run that it continues."""


class History:
    """Collect one row for each epoch and keep them in a CSV file.

    A row holds ``epoch``, ``loss``, every part that the loss function lists in its ``parts`` (unweighted means over the
    epoch), the evaluator's metrics (empty in epochs without a validation), ``learning_rate`` and ``seconds``. The file
    is replaced atomically; a resumed run drops the rows that it is going to repeat. Other handlers find the rows under
    ``engine.state.history``. Attach it after the validation.

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


class RunRecord:
    """Write what determines a run, and how it went, into ``run.json``.

    At the start it warns of settings that make another method of it, patches of over 40 mm, where the paper has 16; and
    of crops that the network would pad.

    The file is there from the first second, with ``"status": "running"``; it ends as ``"finished"``, ``"failed"`` or
    ``"interrupted"``. A run found as ``"running"`` without a process was killed.

    Args:
        path: file to write.
        settings: what determines the result, as plain data or objects whose ``repr`` says it; hashed.
        data_list: the data list, whose hash and case counts are noted.
        device: device of the run.
        evaluator: validation engine, for the best metric and its epoch.
    """

    def __init__(
        self,
        path: str | Path,
        settings: Mapping[str, Any],
        data_list: Mapping[str, Any],
        device: torch.device,
        evaluator: Engine,
    ) -> None:
        self.path = Path(path)
        self.device = torch.device(device)
        self.evaluator = evaluator
        self.settings = settings
        described = {name: _plain(value) for name, value in settings.items()}
        self.record: dict[str, Any] = {
            "status": "running",
            "settings": described,
            "settings_hash": content_hash(described),
            "data_list": {
                "name": data_list.get("name"),
                "hash": data_list.get("hash"),
                "cases": {part: len(data_list.get(part, ())) for part in ("training", "validation", "test")},
            },
            "environment": environment(self.device),
            "note": pkdr_monai.DISCLAIMER,
        }

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; only the first process of a distributed run writes."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_STARTED, self.start)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.update)
            engine.add_event_handler(Events.COMPLETED, self.finish)
            engine.add_event_handler(Events.EXCEPTION_RAISED, self.fail)

    def start(self, engine: Engine) -> None:
        """Note the start, and the epoch at which a resumed run continues.

        Raises:
            InputError: when the run that is resumed had other cases, or others of the settings :data:`KEPT`.
        """
        if "started" in self.record:
            return
        if engine.state.epoch > 1:
            self._refuse_other_settings()
        _warn_of_large_patches(self.settings.get("loss"), self.settings.get("spacing"))
        _warn_of_padded_crops(self.settings.get("roi_size", ()))
        self.record["started"] = now()
        self.record["first_epoch"] = engine.state.epoch
        self.record["max_epochs"] = engine.state.max_epochs
        write_json(self.path, self.record)

    def update(self, engine: Engine) -> None:
        """Note how far the run is."""
        best: Any = self.evaluator.state
        self.record["epoch"] = engine.state.epoch
        if best.best_metric_epoch > 0:
            self.record["best"] = {
                "metric": best.key_metric_name,
                "value": float(best.best_metric),
                "epoch": best.best_metric_epoch,
            }
        peak = peak_memory(self.device)
        self.record["peak_memory_mib"] = None if peak is None else round(peak)
        self.record["updated"] = now()
        write_json(self.path, self.record)

    def finish(self, engine: Engine) -> None:
        """Note the end; of a run that was over when it was resumed, the earlier record stays."""
        if "started" not in self.record and self.path.is_file():
            self.record = read_object(self.path)
            self.update(engine)
        self.record["status"] = "finished"
        self.record["finished"] = now()
        write_json(self.path, self.record)

    def _refuse_other_settings(self) -> None:
        if not self.path.is_file():
            return
        earlier = read_object(self.path)
        before, asked = (
            {"data list": record.get("data_list", {}).get("hash"), **record.get("settings", {})}
            for record in (earlier, self.record)
        )
        for name in ("data list", *KEPT):
            if name in before and name in asked and before[name] != asked[name]:
                raise InputError(
                    f"{self.path.parent} holds a run whose {name} is {before[name]}, and here it is {asked[name]}: "
                    "resume with the settings of that run, or give this one its own --output_dir."
                )

    def fail(self, engine: Engine, error: BaseException) -> None:
        """Note an error or Ctrl-C, and pass it on."""
        if "started" in self.record:
            self.record["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.record["error"] = f"{type(error).__name__}: {error}"
            with contextlib.suppress(OSError):  # on a full disk, that is the error to pass on
                write_json(self.path, self.record)
        raise error


def _warn_of_padded_crops(roi_size: Sequence[int]) -> None:
    """Warn where the zeros that fill up a crop would go into the statistics of the norms."""
    padded = [str(side) for side in roi_size if side % STRIDE]
    if padded:
        logging.getLogger("pkdr_monai").warning(
            f"roi_size has sides of {', '.join(padded)} voxels, which {STRIDE} does not divide: the network fills them "
            "up with zeros, batch norm learns the statistics of crops with those zeros, and whole scans, which hardly "
            f"have any, are segmented far worse. Choose multiples of {STRIDE}."
        )


def _warn_of_large_patches(loss: Any, spacing: Any) -> None:
    """Warn where a loss compares patches that are larger than what patch selection is meant to find."""
    if not PATCH_TERMS & set(getattr(loss, "weights", ())) or spacing is None:
        return
    voxels = loss.patch_selection.patch_size
    largest = voxels * max(spacing)
    if largest > LARGEST_PATCH:
        logging.getLogger("pkdr_monai").warning(
            f"Patches of {voxels} voxels are {largest:g} mm wide here; the paper's are 16 mm. Above "
            f"{LARGEST_PATCH:g} mm a patch holds whole tumours, and patch selection is another task: choose a "
            "smaller patch_size (network_def, teacher_def and loss alike) or a smaller spacing."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


class ModelCardWriter:
    """Write a model's card whenever its weights have changed.

    Attach it after the :class:`TrainingCheckpoint`, which writes the weights. A card that already describes them is
    kept, with what an evaluation noted in it.

    Args:
        card: what the run knows of its model.
        checkpoint: file of the weights.
    """

    def __init__(self, card: ModelCard, checkpoint: str | Path) -> None:
        self.card = card
        self.checkpoint = Path(checkpoint)
        self._seen: tuple[int, int] | None = None

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; only the first process of a distributed run writes."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the card, unless it is there."""
        if not self.checkpoint.exists():
            return
        status = self.checkpoint.stat()
        state = (status.st_mtime_ns, status.st_size)
        if state == self._seen:
            return
        self._seen = state
        card = self.card.with_weights(self.checkpoint)
        if known_card(card) is None:
            card.write()


def known_card(card: ModelCard) -> ModelCard | None:
    """Return the card on the disk, where there is one and it describes the same weights as ``card``."""
    if card.weights is None or not card_path(card.weights).exists():
        return None
    try:
        written = ModelCard.read(card_path(card.weights))
    except InputError:
        return None  # of another version, or damaged: it is written again
    return written if written.sha256 == card.sha256 else None


class ExpectedDice:
    """Note mean and standard deviation of the Dice of each region in the model's card.

    Weights that have no card, such as those of a run before cards were written, get one; what they were trained on is
    then unknown. A card of the same weights under other settings is left alone, with a warning.

    Args:
        card: what the evaluation's settings say of the model.
        checkpoint: file of the weights.
        data_list: the data list that is evaluated on.
        section: its section.
        metric: name of the metric whose details are the Dice of each case and region.
    """

    def __init__(
        self,
        card: ModelCard,
        checkpoint: str | Path,
        data_list: Mapping[str, Any],
        section: str,
        metric: str = "val_mean_dice",
    ) -> None:
        self.card = card
        self.checkpoint = Path(checkpoint)
        self.data = data_source(data_list)
        self.section = section
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator; only the first process of a distributed run writes."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the card."""
        state: Any = engine.state  # MONAI adds the details of its metrics to Ignite's state
        scores = state.metric_details[self.metric].tolist()  # (cases, 3)
        card = self.card.with_weights(self.checkpoint)
        written = known_card(card)
        if written is not None and not written.same_model(card):
            logging.getLogger("pkdr_monai").warning(
                "The card of %s names other modalities, another network or another spacing than this evaluation: "
                "its result is not noted there.",
                self.checkpoint,
            )
            return
        base = replace(card, training_data=None) if written is None else written
        evaluation = Evaluation.of_scores(scores, self.data, self.section)
        base.evaluated(evaluation, self.card.modalities).write()
