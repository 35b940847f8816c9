"""Errors that a user can fix: one clear sentence and an exit code instead of a stack trace."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import sys
import threading
from collections.abc import Sequence
from types import TracebackType

__all__ = [
    "InputError",
    "Interruption",
    "RunError",
    "describe_interruption",
    "install_error_hooks",
    "plain_error_in",
    "replace_unwritable",
    "some",
]

INTERRUPTED_EXIT_CODE = 130
PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)  # a disk or a folder is at fault
PATHS = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)  # a file where a folder should be, and the like
FROM_WORKER = re.compile(r"^pkdr_monai\.errors\.(InputError|RunError): (.+)$", re.MULTILINE)
DEAD_WORKER = re.compile(r"DataLoader worker \(pid.*\) (is killed|exited unexpectedly)")


class InputError(ValueError):
    """Input that this package cannot work with: a file, a folder, a setting or a checkpoint.

    The message is written for the person who can fix it. It says what is wrong, where, and what to do about it.
    """

    exit_code = 2


class RunError(RuntimeError):
    """A run that cannot continue, although its input was sound: a loss that is no number, a data worker that died.

    The message says what happened, where, and how to continue.
    """

    exit_code = 1


class Interruption(KeyboardInterrupt):
    """Ctrl-C, with words on how to continue.

    A class of its own also because Python kills a process by SIGINT, whatever exit code that asks for, once a bare
    ``KeyboardInterrupt`` has come through ``eval``, in which MONAI runs a config.
    """


def plain_error_in(error: BaseException | None) -> InputError | RunError | None:
    """Return the plain error that ``error`` is or stems from, if any: MONAI's parser wraps what it evaluates.

    A full disk and a folder that may not be written to are plain errors too, whoever met them, and so is what a data
    worker reports, which arrives as the text of its stack trace.
    """
    while error is not None:
        if isinstance(error, InputError | RunError):
            return error
        if isinstance(error, OSError) and error.errno in PLACES + PATHS:
            path = os.fsdecode(error.filename or "a file")
            remedy = "Make room or choose another folder; a training continues with --resume true."
            if error.errno in PATHS:
                remedy = "Choose another path."
            return InputError(f"cannot use {path}: {error.strerror}. {remedy}")
        if isinstance(error, RuntimeError):
            said = _said_by_worker(str(error))
            if said is not None:
                return said
        error = error.__cause__ or error.__context__
    return None


def _said_by_worker(text: str) -> InputError | RunError | None:
    reported = FROM_WORKER.findall(text)
    if reported:
        kind, sentence = reported[-1]  # the outermost of a chain, as for an error of this process
        return (InputError if kind == "InputError" else RunError)(sentence)
    if DEAD_WORKER.search(text) is not None:
        return RunError(
            "a data worker was killed, most often for want of memory. Continue with --resume true, "
            "and with fewer of them: --num_workers."
        )
    return None


def describe_interruption(interruption: KeyboardInterrupt) -> str:
    """Return the message about Ctrl-C.

    Example:
        >>> describe_interruption(KeyboardInterrupt("in epoch 3."))
        'interrupted in epoch 3.'
    """
    return f"interrupted {interruption}".rstrip()


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write(f"{describe_interruption(error)}\n")
        sys.exit(INTERRUPTED_EXIT_CODE)
    plain = plain_error_in(error)
    if plain is None:
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(f"error: {plain}\n")
    sys.exit(plain.exit_code)


def _thread_excepthook(arguments: threading.ExceptHookArgs) -> None:
    plain = plain_error_in(arguments.exc_value)
    if plain is None:
        threading.__excepthook__(arguments)
    else:  # who waits for the thread meets it again, and reports it
        logging.getLogger("pkdr_monai").warning(str(plain))


def replace_unwritable() -> None:
    """Let the standard streams replace what their encoding cannot write, so that no message ends the work.

    ``±`` on a stream of ASCII becomes ``\\xb1``. Names of files on the disk are untouched.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def install_error_hooks() -> None:
    """Make this process end with one sentence when a plain error reaches the top, and with the error's exit code.

    That is 2 for an :class:`InputError`, 1 for a :class:`RunError` and 130 after Ctrl-C. The bundle's configs call it
    in ``initialize``, because ``python -m monai.bundle run`` has no such manners of its own. Every other error keeps
    its stack trace.
    """
    replace_unwritable()
    sys.excepthook = _excepthook
    threading.excepthook = _thread_excepthook


def some(names: Sequence[str], most: int) -> str:
    """Name the first of many, and say how many more there are.

    Example:
        >>> some(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
