"""Who, what, when and on what: a run's own record for machines, ``run.json``."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

import pkdr_monai
from pkdr_monai.files import content_hash, write_json
from pkdr_monai.runs.record import environment
from pkdr_monai.system import peak_memory

__all__ = ["RunRecord"]


class RunRecord:
    """Write what determines a run, and how it went, into ``run.json``.

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
        """Note the start, and the epoch at which a resumed run continues."""
        if "started" in self.record:
            return
        self.record["started"] = _now()
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
        self.record["updated"] = _now()
        write_json(self.path, self.record)

    def finish(self, engine: Engine) -> None:
        """Note the end."""
        self.record["status"] = "finished"
        self.record["finished"] = _now()
        write_json(self.path, self.record)

    def fail(self, engine: Engine, error: BaseException) -> None:
        """Note an error or Ctrl-C, and pass it on."""
        if "started" in self.record:
            self.record["status"] = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            self.record["error"] = f"{type(error).__name__}: {error}"
            with contextlib.suppress(OSError):  # on a full disk, that is the error to pass on
                write_json(self.path, self.record)
        raise error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
