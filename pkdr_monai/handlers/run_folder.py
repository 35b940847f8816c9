"""A run's folder belongs to one training at a time, and to no remains of one that was killed."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events

from pkdr_monai.files import FolderLock, remove_unfinished

__all__ = ["RunFolder"]


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
        self._lock = FolderLock(
            directory,
            f"another training is writing to {directory}. Wait for its end, or give this one its own folder with "
            "--output_dir.",
        )

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
