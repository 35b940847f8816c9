"""Overrides of a config, checked: MONAI takes an unknown key silently, and nothing comes of it."""

from __future__ import annotations

import difflib
import inspect
import pydoc
from collections.abc import Mapping, Sequence
from typing import Any

from monai.bundle import ComponentLocator, ConfigComponent

from pkdr_monai.errors import InputError

__all__ = ["check_overrides"]

SEPARATOR = "#"


def check_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse a key that changes nothing, and name the nearest that would; refuse text in place of a number.

    A key is known when the config holds it, or when it is an argument of the class that its parent builds. A value has
    to be of the kind of the one that it replaces, where that is a number, a switch or a list of numbers; expressions of
    MONAI, which begin with ``$``, ``@`` or ``%``, may stand anywhere.

    Args:
        config: merged config, as it is before it is parsed.
        overrides: values by ids with ``#`` between their parts, such as ``"loss#beta"``.

    Raises:
        InputError: when a key is unknown, or a value is of another kind.

    Example:
        >>> check_overrides({"max_epochs": 3}, {"max_epohcs": 4})
        Traceback (most recent call last):
        ...
        pkdr_monai.errors.InputError: unknown key 'max_epohcs'; did you mean 'max_epochs'?
    """
    locator = ComponentLocator()
    for key, value in overrides.items():
        replaced = _replaced(config, key, locator)
        if not _fits(replaced, value):
            raise InputError(f"expected {key} to be of the kind of {replaced!r}, got {value!r}.")


def _fits(replaced: Any, value: Any) -> bool:
    """Return whether a value is of the kind of the one that it replaces."""
    if isinstance(value, str) and value.startswith(("$", "@", "%")):
        return True
    if isinstance(replaced, bool):
        return str(value).lower() in ("true", "false")
    if isinstance(replaced, int | float):
        kinds = int if isinstance(replaced, int) else int | float
        return isinstance(value, kinds) and not isinstance(value, bool)
    if isinstance(replaced, list) and replaced and all(isinstance(part, int | float) for part in replaced):
        same = isinstance(value, list | tuple) and len(value) == len(replaced)
        return same and all(isinstance(part, int | float) and not isinstance(part, bool) for part in value)
    return True


def _replaced(config: Mapping[str, Any], key: str, locator: ComponentLocator) -> Any:
    """Return what a key stands for in the config, ``None`` where it is an argument that is left to its default.

    Raises:
        InputError: when the key is unknown.
    """
    node: Any = config
    parts = key.split(SEPARATOR)
    for depth, part in enumerate(parts):
        known = _names_in(node, locator)
        if part not in known:
            raise InputError(f"unknown key {key!r}{_suggestion(parts[:depth], part, known)}")
        node = _child(node, part)
    return node


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
