"""Files that are whole or absent, and folders with one writer at a time: atomic writes, JSON, hashes, locks."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from pkdr_monai.errors import InputError

__all__ = [
    "FolderLock",
    "atomic_write",
    "content_hash",
    "file_hash",
    "read_json",
    "read_object",
    "remove_unfinished",
    "write_json",
    "writing_to",
]

UNSUPPORTED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY}
"""What systems answer to ``chmod`` and ``fsync`` where a file system has no permissions or no such call."""

UNFINISHED = re.compile(r"\..+\.\w{8}\.tmp")


@contextmanager
def atomic_write(path: str | Path, keep: str | Path | None = None) -> Iterator[BinaryIO]:
    """Open ``path`` for writing so that it is replaced at once when the block ends well, and untouched otherwise.

    A file system without permissions, or without ``fsync``, is written to as well as it allows.

    A process killed in the block leaves the old file as it was; what it had written stays in a ``.tmp`` file beside it,
    which :func:`remove_unfinished` removes.

    Args:
        path: the file.
        keep: name that the old file gets when the new one is whole; without it, the old one is gone.

    Raises:
        OSError: when it cannot be written; it names ``path``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(path) as file:
        ...     _ = file.write(b"whole")
        >>> path.read_text()
        'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            _where_supported(os.fsync, file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        _where_supported(os.chmod, temporary, 0o666 & ~umask)  # mkstemp is private to its user; a result is not
        if keep is not None and path.exists():
            path.replace(keep)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which file it has no room for
        raise


@contextmanager
def writing_to(place: str | Path, fix: str = "check the disk and --output") -> Iterator[None]:
    """Say in one sentence that what the block writes could not be written.

    Args:
        place: the file or folder that the sentence names.
        fix: what to do about it.

    Raises:
        InputError: when the block ends with an ``OSError``.

    Example:
        >>> with writing_to("results"):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        pkdr_monai.errors.InputError: cannot write to results: No space left on device; check the disk and --output.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write to {place}: {error.strerror or error}; {fix}.") from error


def _where_supported(call: Callable[..., None], *arguments: Any) -> None:
    """Call a function of the system, and continue where the file system does not have it, as CIFS and FAT do not.

    What such a file system leaves out is safety in a power cut, or permissions; the data is written all the same. An
    error of the disk itself, such as that it is full, is raised.
    """
    try:
        call(*arguments)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def remove_unfinished(folder: str | Path) -> None:
    """Remove what processes that were killed in :func:`atomic_write` left in a folder that nobody writes to now.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in (".model.pt.abcd1234.tmp", "model.pt", "notes.tmp"):
        ...     (folder / name).touch()
        >>> remove_unfinished(folder)
        >>> sorted(path.name for path in folder.iterdir())
        ['model.pt', 'notes.tmp']
    """
    for path in Path(folder).glob(".*.tmp"):
        if UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: when the file is absent, unreadable or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}. Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}). Repair it or write it again.") from error


def read_object(path: str | Path) -> dict[str, Any]:
    """Read a JSON file that holds an object, ``{...}``.

    Raises:
        InputError: when the file is absent, unreadable, not JSON, or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(
            f"{path} holds a {type(content).__name__}: expected a JSON object. Repair it or write it again."
        )
    return content


def content_hash(content: Any) -> str:
    """Return the SHA-256 of plain data, the same for equal data whatever the order of its keys.

    Example:
        >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file, however large.

    Raises:
        InputError: when it cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> file_hash(path)[:12]
        'e3b0c44298fc'
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}. Check the path.") from error
    return digest.hexdigest()


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


ATTEMPTS = 100  # to lock a file that others remove just then; each one that does has finished with the folder
TAKEN = (errno.EACCES, errno.EAGAIN)


class FolderLock:
    """Keep other processes out of a folder, by a lock of the operating system on its file ``.lock``.

    The lock ends with the process, however that ends; the file goes when the folder is given back, and one that a
    killed process left behind keeps nobody out. Where a disk or a system knows no such locks, a warning says so.

    Args:
        folder: which is made where it is absent.
        refusal: message for a second process: what is using the folder, and what to do.

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
