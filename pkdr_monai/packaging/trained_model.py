"""What a training left behind, as far as a bundle with its weights has to know it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_object
from pkdr_monai.networks import AnySubsetVNet, MonaiVNet, PatchVNet, load_weights, read_tensors
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.runs.record import recorded_input

__all__ = ["TrainedModel", "read_shipped_model", "read_trained_model"]

NETWORKS: dict[str, type[nn.Module]] = {
    "PatchVNet": PatchVNet,
    "MonaiVNet": MonaiVNet,
    "AnySubsetVNet": AnySubsetVNet,
}


@dataclass(frozen=True)
class TrainedModel:
    """A network with its weights, and the settings under which it was trained.

    Args:
        folder: the run's ``models``, which holds ``model.pt``.
        record: the run's own record, ``run.json``.
        modalities: what the network sees, in the project's order.
        spacing: voxel size in millimetres.
        roi_size: window in voxels.
        network: name of the network's class.
        arguments: of its constructor.
    """

    folder: Path
    record: Mapping[str, Any]
    modalities: tuple[str, ...]
    spacing: tuple[float, ...]
    roi_size: tuple[int, ...]
    network: str
    arguments: Mapping[str, Any]

    @property
    def weights(self) -> Path:
        """The file of the weights, a plain state dict."""
        return self.folder / "model.pt"

    def load(self) -> nn.Module:
        """Return the network with its weights, ready for inference.

        Raises:
            InputError: when the weights are another network's.
        """
        return load_weights(NETWORKS[self.network](**self.arguments), self.weights).eval()

    def seeing(self, modalities: Sequence[str]) -> TrainedModel:
        """Return the same network as one that sees fewer of its modalities.

        Args:
            modalities: what it is to see.

        Raises:
            InputError: when the network does not serve these modalities.
        """
        if tuple(modalities) == self.modalities:
            return self
        if self.network != "AnySubsetVNet" or not set(modalities) <= set(self.modalities):
            raise InputError(
                f"the weights of {self.folder} see {', '.join(self.modalities)}, not {', '.join(modalities)}."
            )
        arguments = {**self.arguments, **_input(self.network, tuple(modalities))}
        return replace(self, modalities=tuple(modalities), arguments=arguments)


def read_trained_model(run: str | Path) -> TrainedModel:
    """Read what a bundle has to know of a run.

    The sizes of the network are read off its weights; all else comes from ``run.json``.

    Args:
        run: folder of a training, such as ``runs/pkdr_t2``.

    Raises:
        InputError: when a file is absent or does not fit the others, or the network is of a kind that no bundle holds.
    """
    run = Path(run)
    record = read_object(run / "run.json")
    settings = record.get("settings") or {}
    modalities, spacing, roi_size = recorded_input(run / "run.json", settings)
    network = str(settings.get("network"))
    if network not in NETWORKS:
        raise InputError(f"{run} trained a {network}: a bundle can hold a {' or a '.join(NETWORKS)}.")
    folder = run / "models"
    _refuse_changed_weights(folder)
    state = read_tensors(folder / "model.pt")
    model = TrainedModel(
        folder=folder,
        record=record,
        modalities=modalities,
        spacing=tuple(spacing),
        roi_size=tuple(roi_size),
        network=network,
        arguments={**_input(network, modalities), **_sizes(network, state)},
    )
    model.load()
    return model


def read_shipped_model(folder: Path) -> TrainedModel | None:
    """Read the weights that a bundle's source comes with, from their card; ``None`` where it has none.

    Args:
        folder: the source's ``models``.

    Raises:
        InputError: when the weights are not those of the card, or the network is of a kind that no bundle holds.
    """
    if not (folder / "model.json").is_file():
        return None
    card = ModelCard.read(folder / "model.json")
    network = str(card.network["_target_"]).rpartition(".")[2]
    if network not in NETWORKS:
        raise InputError(f"{folder} holds a {network}: a bundle can hold a {' or a '.join(NETWORKS)}.")
    _refuse_changed_weights(folder)
    sizes = _sizes(network, read_tensors(folder / "model.pt"))
    arguments = {**_input(network, card.modalities), **sizes}
    model = TrainedModel(folder, {}, card.modalities, card.spacing, card.roi_size, network, arguments)
    model.load()
    return model


def _input(network: str, modalities: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of the network's constructor that say what it sees."""
    return {"available": list(modalities)} if network == "AnySubsetVNet" else {"in_channels": len(modalities)}


def _sizes(network: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of the network's constructor off its weights."""
    arguments: dict[str, Any] = {"out_channels": 3}
    if network != "MonaiVNet" and "output.weight" in state:
        arguments["init_filters"] = state["output.weight"].shape[1]
        norm = "batch" if any(name.endswith(".running_mean") for name in state) else "instance"
        if norm != inspect.signature(NETWORKS[network]).parameters["norm"].default:
            arguments["norm"] = norm
    if any(name.startswith("patch_head.") for name in state):
        arguments["patch_head"] = True
    return arguments


def _refuse_changed_weights(folder: Path) -> None:
    """Compare the weights with the hash in ``model.json``, where there is one."""
    description = folder / "model.json"
    if not description.is_file():
        return
    expected = read_object(description).get("sha256")
    if expected and (folder / "model.pt").is_file() and file_hash(folder / "model.pt") != expected:
        raise InputError(f"{folder / 'model.pt'} is not the file that {description} describes: their hashes differ.")
