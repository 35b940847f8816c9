"""A run's folder belongs to one training at a time, and to no remains of one that was killed."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events

from pkdr_monai.errors import InputError
from pkdr_monai.files import remove_unfinished

__all__ = ["RunFolder"]

TAKEN = (errno.EACCES, errno.EAGAIN)


class RunFolder:
    """Keep a second training out of a run's folder, and remove files that a killed one had half written.

    The lock is one of the operating system's on the file ``.lock``: it ends with the process, however that ends, and
    the file stays. Attach it before all that writes.

    Args:
        directory: the run's folder.
        checkpoints: folder of its checkpoints.
    """

    def __init__(self, directory: str | Path, checkpoints: str | Path) -> None:
        self.directory = Path(directory)
        self.checkpoints = Path(checkpoints)
        self._lock: int | None = None

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
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # not flock: data workers would inherit that, and hold it for some seconds after this process was killed
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                raise InputError(
                    f"another training is writing to {self.directory}. Wait for its end, or give this one its own "
                    "folder with --output_dir."
                ) from None
            logging.getLogger("pkdr_monai").warning(
                f"The disk of {self.directory} knows no locks ({error.strerror}): nothing keeps a second training out."
            )
        for folder in (self.directory, self.checkpoints):
            remove_unfinished(folder)

    def give_back(self, engine: Engine) -> None:
        """Let others in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
