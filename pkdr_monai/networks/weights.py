"""Networks as plain data and tensors: build and describe them, load weights, fold batch norm for inference."""

from __future__ import annotations

import copy
import inspect
import pickle
import pydoc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pkdr_monai.errors import InputError, some
from pkdr_monai.files import file_hash
from pkdr_monai.runs.model_card import ModelCard

__all__ = [
    "begin_from",
    "build_network",
    "describe_network",
    "fold_batch_norm",
    "inference_copy",
    "load_model",
    "load_weights",
    "read_tensors",
]

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


def load_model(card: ModelCard) -> nn.Module:
    """Build the network that a card describes, with the weights that it describes, in eval mode.

    Args:
        card: a card that was read from a disk, or that has weights for another reason.

    Raises:
        InputError: when there are no weights, or they or the network are not what the card says.
    """
    if card.weights is None or not card.weights.is_file():
        raise InputError(f"there is no checkpoint at {card.weights}, which model {card.name} needs: copy it there.")
    network = build_network(card.network)
    channels = getattr(network, "in_channels", len(card.modalities))
    if channels != len(card.modalities):
        raise InputError(
            f"{card.weights}: its card names the modalities {', '.join(card.modalities)}, but its network takes "
            f"{channels} channels; it is the card of another checkpoint, so evaluate this one again."
        )
    load_weights(network, card.weights)
    if file_hash(card.weights) != card.sha256:
        raise InputError(
            f"{card.weights} is not the file that its card describes (their SHA-256 differ): "
            "copy both from one place, or evaluate the model again."
        )
    return network.eval()


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


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Replace, in place, each convolution and the batch norm right after it in a ``Sequential`` by one convolution.

    Args:
        network: network in eval mode.

    Returns:
        ``network``, equal to what it was up to rounding, for inference only.

    Raises:
        ValueError: when the network is in training mode, where a batch norm is no fixed scale and shift.

    Example:
        >>> layers = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.ReLU()).eval()
        >>> [type(layer).__name__ for layer in fold_batch_norm(layers)]
        ['Conv3d', 'Identity', 'ReLU']
    """
    if network.training:
        raise ValueError("batch norm can be folded in eval mode only: call network.eval() first.")
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index in range(len(sequence) - 1):
            convolution, norm = sequence[index], sequence[index + 1]
            if isinstance(norm, nn.BatchNorm3d) and isinstance(convolution, nn.Conv3d | nn.ConvTranspose3d):
                transpose = isinstance(convolution, nn.ConvTranspose3d)
                sequence[index] = fuse_conv_bn_eval(convolution, norm, transpose=transpose)
                sequence[index + 1] = nn.Identity()
    return network


def inference_copy(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a frozen copy of a network that computes the same faster: batch norm folded, channels last, in ``dtype``.

    Its input has to be in ``dtype`` and channels last too.

    Args:
        network: any network; it stays as it is.
        dtype: floating-point type of weights and activations.

    Example:
        >>> layers = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))
        >>> inference_copy(layers, torch.bfloat16)(torch.zeros(1, 1, 3, 3, 3, dtype=torch.bfloat16)).dtype
        torch.bfloat16
    """
    folded = fold_batch_norm(copy.deepcopy(network).eval())
    return folded.requires_grad_(False).to(dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
