"""Arguments that come as text, from a command line or an override, read as what was meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pkdr_monai.errors import InputError

__all__ = ["choice", "integer", "integers", "names", "number", "switch", "triple"]


def names(text: str) -> tuple[str, ...]:
    """Read names between commas.

    Example:
        >>> names("001, b")
        ('001', 'b')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def integer(text: str) -> int:
    """Read a whole number.

    Raises:
        InputError: when the text is none.
    """
    try:
        return int(text)
    except ValueError:
        raise InputError(f"expected a whole number, got {text!r}.") from None


def integers(text: str) -> tuple[int, ...]:
    """Read whole numbers between commas.

    Example:
        >>> integers("0,1,2")
        (0, 1, 2)
    """
    return tuple(map(integer, names(text)))


def choice(*words: str) -> Callable[[str], str]:
    """Return a reader of one word out of several.

    Example:
        >>> choice("local", "slurm")("local")
        'local'
    """

    def read(text: str) -> str:
        if text not in words:
            raise InputError(f"expected {' or '.join(words)}, got {text!r}.")
        return text

    return read


def number(text: str) -> float:
    """Read a finite number.

    Raises:
        InputError: when the text is none.

    Example:
        >>> number("0.25")
        0.25
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"expected a number, got {text!r}.")
    return value


def triple(kind: type[int] | type[float]) -> Callable[[str], tuple[Any, ...]]:
    """Return a reader of three numbers between commas, or of one number for all three axes.

    Example:
        >>> triple(int)("64,64,48"), triple(float)("1.5")
        ((64, 64, 48), (1.5, 1.5, 1.5))
    """

    def read(text: str) -> tuple[Any, ...]:
        try:
            values = tuple(kind(part) for part in text.strip("()[]").split(","))
        except ValueError:
            values = ()
        if len(values) not in (1, 3) or min(values) <= 0:
            raise InputError(f"expected one number above 0, or three such as 64,64,48, got {text!r}.")
        return values if len(values) == 3 else values * 3

    return read


def switch(text: str | bool) -> bool:
    """Read a setting that is on or off: ``--force`` reaches us as the word ``True``, ``--resume false`` as ``false``.

    Raises:
        InputError: when it is neither true nor false.

    Example:
        >>> switch("false"), switch(True)
        (False, True)
    """
    word = str(text).lower()
    if word not in ("true", "false"):
        raise InputError(f"expected true or false, got {text!r}.")
    return word == "true"
