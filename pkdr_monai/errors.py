"""Errors that a user can mend: one clear sentence and exit code 2 instead of a stack trace."""

from __future__ import annotations

import sys
from types import TracebackType

__all__ = ["InputError", "input_error_in", "speak_plainly"]

BAD_INPUT_EXIT_CODE = 2


class InputError(ValueError):
    """Input that this package cannot work with: a file, a folder, a setting or a checkpoint.

    The message is written for the person who can mend it. It says what is wrong, where, and what to do about it.
    """


def input_error_in(error: BaseException | None) -> InputError | None:
    """Return the input error that ``error`` is or stems from, if any: MONAI's parser wraps what it evaluates."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    mendable = input_error_in(error)
    if mendable is None:
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write(f"error: {mendable}\n")
    sys.exit(BAD_INPUT_EXIT_CODE)


def speak_plainly() -> None:
    """Make this process end with one sentence and exit code 2 when an :class:`InputError` reaches the top.

    The bundle's configs call it in ``initialize``, because ``python -m monai.bundle run`` has no such manners of its
    own. Every other error keeps its stack trace.
    """
    sys.excepthook = _excepthook
