"""A network as plain data, and back: its class and its constructor's arguments, which weights alone do not tell."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Mapping
from typing import Any

from torch import nn

from pkdr_monai.errors import InputError

__all__ = ["build_network", "describe_network"]

PACKAGE = "pkdr_monai."


def describe_network(network: nn.Module) -> dict[str, Any]:
    """Write a network as a MONAI config would: ``_target_`` and the constructor's arguments.

    A network keeps each argument in an attribute of the same name. An argument that switches a part on is kept as that
    part, such as ``patch_head``; a network within a network is described in turn.

    Args:
        network: a network of this package.

    Raises:
        ValueError: when it does not keep an argument.

    Example:
        >>> from pkdr_monai.networks import PatchVNet
        >>> description = describe_network(PatchVNet(1, init_filters=2, patch_head=True))
        >>> description["_target_"], description["init_filters"], description["patch_head"]
        ('pkdr_monai.networks.vnet.PatchVNet', 2, True)
    """
    kind = type(network)
    description: dict[str, Any] = {"_target_": f"{kind.__module__}.{kind.__qualname__}"}
    for name, parameter in inspect.signature(kind).parameters.items():
        if not hasattr(network, name):
            raise ValueError(f"{kind.__qualname__} does not keep its argument {name!r} in an attribute of that name.")
        value = getattr(network, name)
        if isinstance(parameter.default, bool):
            value = value not in (None, False)
        elif isinstance(value, nn.Module):
            value = describe_network(value)
        description[name] = list(value) if isinstance(value, tuple) else value
    return description


def build_network(description: Mapping[str, Any]) -> nn.Module:
    """Build a network of this package from its description, with fresh weights.

    Nothing but a network of this package is ever built, whatever the description names.

    Raises:
        InputError: when it names something else, or arguments that do not fit.

    Example:
        >>> build_network({"_target_": "os.system", "command": "true"})
        Traceback (most recent call last):
        pkdr_monai.errors.InputError: 'os.system' is no network of pkdr_monai: take a model.json that a training wrote.
    """
    target = str(description.get("_target_"))
    kind = pydoc.locate(target) if target.startswith(PACKAGE) else None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InputError(f"{target!r} is no network of pkdr_monai: take a model.json that a training wrote.")
    arguments = {
        name: build_network(value) if isinstance(value, Mapping) else value
        for name, value in description.items()
        if name != "_target_"
    }
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{target} cannot be built as its model.json says: {error}") from error
