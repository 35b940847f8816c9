"""Overrides of a config, checked: MONAI takes an unknown key without a word, and nothing comes of it."""

from __future__ import annotations

import difflib
import inspect
import pydoc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent

from pkdr_monai.errors import InputError

__all__ = ["check_overrides"]

SEPARATOR = "#"


def check_overrides(config: Mapping[str, Any], keys: Iterable[str]) -> None:
    """Refuse a key that changes nothing, and name the nearest that would.

    A key is known when the config holds it, or when it is an argument of the class that its parent builds.

    Args:
        config: merged config, as it is before it is parsed.
        keys: ids with ``#`` between their parts, such as ``"loss#beta"``.

    Raises:
        InputError: when a key is unknown.

    Example:
        >>> check_overrides({"max_epochs": 3}, ["max_epohcs"])
        Traceback (most recent call last):
        ...
        pkdr_monai.errors.InputError: unknown key 'max_epohcs'; did you mean 'max_epochs'?
    """
    locator = ComponentLocator()
    for key in keys:
        _check(config, key, locator)


def _check(config: Mapping[str, Any], key: str, locator: ComponentLocator) -> None:
    node: Any = config
    parts = key.split(SEPARATOR)
    for depth, part in enumerate(parts):
        known = _names_in(node, locator)
        if part not in known:
            raise InputError(f"unknown key {key!r}{_suggestion(parts[:depth], part, known)}")
        node = _child(node, part)


def _names_in(node: Any, locator: ComponentLocator) -> list[str]:
    """Return the keys that a node of the config has or could have."""
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [str(index) for index in range(len(node))]
    if not isinstance(node, Mapping):
        return []
    return [*map(str, node), *_arguments_of(node, locator)]


def _arguments_of(node: Mapping[str, Any], locator: ComponentLocator) -> list[str]:
    """Return the arguments of the class or function that a node builds."""
    if not ConfigComponent.is_instantiable(node):
        return []
    target = pydoc.locate(str(ConfigComponent(dict(node), "", locator).resolve_module_name()))
    if not callable(target):
        return []
    return [name for name in inspect.signature(target).parameters if name != "self"]


def _child(node: Any, part: str) -> Any:
    return node[int(part)] if isinstance(node, Sequence) else node.get(part)


def _suggestion(parents: Sequence[str], part: str, known: Sequence[str]) -> str:
    if not known:
        return f": {SEPARATOR.join(parents)} holds no other keys."
    # "epochs" is nearer to "max_epochs" than its letters say
    near = [name for name in known if part.lower() in name.split("_")] or difflib.get_close_matches(part, known, 1, 0.5)
    if near:
        return f"; did you mean {SEPARATOR.join([*parents, near[0]])!r}?"
    return f": expected one of {', '.join(SEPARATOR.join([*parents, name]) for name in sorted(known))}."
