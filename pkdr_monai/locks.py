"""A folder that one process at a time may write to."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path
from types import TracebackType

from pkdr_monai.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLock"]

ATTEMPTS = 100  # to lock a file that others remove just then; each one that does has finished with the folder
TAKEN = (errno.EACCES, errno.EAGAIN)


class FolderLock:
    """Keep other processes out of a folder, by a lock of the operating system on its file ``.lock``.

    The lock ends with the process, however that ends; the file goes when the folder is given back, and one that a
    killed process left behind keeps nobody out. Where a disk or a system knows no such locks, a warning says so.

    Args:
        folder: which is made where it is absent.
        refusal: what the user of a second process is told: who is at work there, and what to do.

    Example:
        >>> import tempfile
        >>> with FolderLock(tempfile.mkdtemp(), "another run writes here: choose another folder."):
        ...     pass  # nobody else is here
    """

    def __init__(self, folder: str | Path, refusal: str) -> None:
        self.folder = Path(folder)
        self.refusal = refusal
        self._file: int | None = None

    def take(self) -> None:
        """Take the folder.

        Raises:
            InputError: with ``refusal``, when another process has it.
            OSError: when the folder cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            self._warn("this system has none for Python")
            return
        for _ in range(ATTEMPTS):
            if self._lock_the_file():
                return
        self._warn("its file system gives one file two numbers")

    def give_back(self) -> None:
        """Let others in."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # some network file systems keep a file that is open
                self._path.unlink()  # before the lock goes with the closing: no other process has it yet
            self._close()

    @property
    def _path(self) -> Path:
        return self.folder / ".lock"

    def _lock_the_file(self) -> bool:
        """Whether the file was still there when its lock was had: who gives back removes it."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            # not flock: data workers would inherit that, and hold it for some seconds after this process was killed
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                self._close()
                raise InputError(self.refusal) from None
            self._warn(error.strerror or str(error))
            return True
        try:
            if os.path.samestat(os.fstat(self._file), self._path.stat()):
                return True
        except FileNotFoundError:
            pass
        self._close()
        return False

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _warn(self, reason: str) -> None:
        logging.getLogger("pkdr_monai").warning(
            f"{self.folder} cannot be locked ({reason}): nothing keeps a second run out."
        )

    def __enter__(self) -> FolderLock:
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.give_back()
