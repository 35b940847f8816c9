"""Reading weights: plain tensors only, and one sentence when they are not the network's."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from pkdr_monai.errors import InputError, some

__all__ = ["begin_from", "load_weights", "read_tensors"]

Network = TypeVar("Network", bound=nn.Module)

STEM, HEAD = "stem.0.weight", "patch_head."  # the layer that sees the modalities, and a part that not all have


def read_tensors(path: str | Path) -> dict:
    """Read a file that ``torch.save`` wrote, without ever running code from it.

    Raises:
        InputError: when the file is absent, truncated, or holds anything but tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint at {path}. Train one first, or name the file that holds it.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, which may run code when read, or is no checkpoint at all: it was refused."
        ) from error
    except Exception as error:  # torch hands on whatever damaged bytes raise in its reader and unpickler
        raise InputError(f"{path} is damaged or incomplete ({_first_line(error)}). Use another copy.") from error


def load_weights(network: Network, path: str | Path, channels: Sequence[int] | None = None) -> Network:
    """Fill a network with the weights of a checkpoint.

    Args:
        network: network to fill.
        path: a plain state dict of tensors, as training writes it to ``model.pt``.
        channels: which input channels of the file are the network's, for weights that serve any subset of their
            modalities: an absent one is a channel of zeros there, so a first layer without it computes the same.

    Returns:
        ``network``.

    Raises:
        InputError: when the file cannot be read or its weights belong to another network.
    """
    state = read_tensors(path)
    expected = network.state_dict()
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} is not a plain state dict of tensors. Name the model.pt of a training run.")
    if channels is not None and STEM in state:
        state[STEM] = state[STEM][:, list(channels)]
    missing = [name for name in expected if name not in state]
    foreign = [name for name in state if name not in expected]
    if missing or foreign:
        raise InputError(
            f"{path} was written by another network: it lacks {some(missing, 3) or 'nothing'} and has "
            f"{some(foreign, 3) or 'nothing'} instead. "
            "Check that the network's settings are those of its training (a teacher has patch_head: true)."
        )
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise InputError(
                f"{path} does not fit: {name} is {tuple(state[name].shape)} there and {tuple(value.shape)} here. "
                "Check the number of modalities (in_channels), of filters (init_filters) and of regions."
            )
    network.load_state_dict(state)
    return network


def begin_from(network: Network, path: str | Path, channels: Sequence[int] | None = None) -> Network:
    """Fill a network with weights that a new training begins from, taking the input channels that fit.

    The first layer of the file may see more modalities than the network: its slices ``channels`` are taken. A patch
    head that only one of them has is left as it is. Everything else has to be there.

    Args:
        network: network to fill, such as a student of one modality.
        path: a plain state dict of tensors of any floating-point type, such as the bundle's ``models/model.pt``.
        channels: which input channels of the file are the network's; ``None`` for all.

    Returns:
        ``network``.

    Raises:
        InputError: when the file cannot be read or the rest of its weights belong to another network.

    Example:
        >>> import tempfile
        >>> from pkdr_monai.networks import PatchVNet
        >>> path = Path(tempfile.mkdtemp(), "model.pt")
        >>> torch.save(PatchVNet(4, init_filters=2, patch_head=True).state_dict(), path)
        >>> _ = begin_from(PatchVNet(1, init_filters=2), path, channels=[2])
    """
    state, expected = read_tensors(path), network.state_dict()
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path} is not a plain state dict of tensors. Name the model.pt of a training run.")
    chosen = {}
    for name, value in expected.items():
        found = state.get(name)
        if found is None and name.startswith(HEAD):
            continue
        if found is not None and name == STEM and channels is not None and found.shape[1] > max(channels):
            found = found[:, list(channels)]
        if found is None or found.shape != value.shape:
            shape = "absent" if found is None else tuple(found.shape)
            raise InputError(
                f"{path} cannot be begun from: {name} is {shape} there and {tuple(value.shape)} here. "
                "Take the spacing, init_filters and norm of its model.json, or train from scratch "
                "(--initial_weights null)."
            )
        chosen[name] = found
    network.load_state_dict(expected | chosen)
    return network


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
