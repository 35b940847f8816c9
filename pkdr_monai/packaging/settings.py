"""The bundle's configs, metadata and pages as they have to be for one trained model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pkdr_monai import DISCLAIMER
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.packaging.trained_model import TrainedModel

__all__ = ["config_of", "mark_demonstration", "metadata_of", "weights_page"]

DEMONSTRATION = "Demonstration on synthetic data: the weights have never seen a patient."
CAUTION = """The validation score chose the epoch. It is no test result, and says nothing about other scanners, sites or
patients. `models/exports.json` says how far each export is from these weights."""
NAMES = dict(zip(MODALITIES, ("T1", "T1ce", "T2", "FLAIR"), strict=True))


def config_of(config: Mapping[str, Any], model: TrainedModel) -> dict[str, Any]:
    """Return ``train.json`` or ``inference.json`` with the network and the settings of a trained model.

    Args:
        config: content of the file.
        model: the model.
    """
    adapted = copy.deepcopy(dict(config))
    adapted["modality"] = "+".join(model.modalities)
    adapted["spacing"], adapted["roi_size"] = list(model.spacing), list(model.roi_size)
    network = {"_target_": f"pkdr_monai.networks.{model.network}", **model.arguments}
    if model.network == "PatchVNet" and "norm" in config["network_def"]:
        network.setdefault("norm", "batch")  # inference.json would ask the card, which need not be this model's
    if "available" in network:
        network["available"] = "@modalities"
    else:
        network["in_channels"] = "$len(@modalities)"
    if "init_filters" in network:
        adapted["init_filters"] = network["init_filters"]
        network["init_filters"] = "@init_filters"
    adapted["network_def"] = network
    return adapted


def metadata_of(metadata: Mapping[str, Any], model: TrainedModel, demonstration: bool) -> dict[str, Any]:
    """Return ``metadata.json`` with the channels of a trained model, and marked where it is a demonstration.

    Args:
        metadata: content of the file.
        model: the model.
        demonstration: say wherever it is read that the weights were trained on synthetic data.
    """
    adapted = copy.deepcopy(dict(metadata))
    image = adapted["network_data_format"]["inputs"]["image"]
    image["num_channels"] = len(model.modalities)
    image["channel_def"] = {str(number): NAMES[modality] for number, modality in enumerate(model.modalities)}
    if demonstration:
        adapted["name"] = f"{adapted['name']}: demonstration on synthetic data"
        adapted["description"] = f"{DEMONSTRATION} {adapted['description']}"
        adapted["intended_use"] = f"{DEMONSTRATION} It shows how the bundle is used. Not for clinical use."
        adapted["data_source"] = "The synthetic cohort that `pkdr data demo` writes"
    return adapted


def mark_demonstration(page: str) -> str:
    """Return a page with the mark of a demonstration above it.

    Example:
        >>> mark_demonstration("# Model").splitlines()[0]
        '> **Demonstration on synthetic data: the weights have never seen a patient.**'
    """
    return f"> **{DEMONSTRATION}**\n> {DISCLAIMER}\n\n{page}"


def weights_page(model: TrainedModel, weights_hash: str) -> str:
    """Return ``docs/weights.md``: where the weights of the bundle come from.

    Args:
        model: the model.
        weights_hash: SHA-256 of its ``model.pt``.
    """
    record = model.record
    data, best, environment = (record.get(name) or {} for name in ("data_list", "best", "environment"))
    cases = ", ".join(f"{part} {count}" for part, count in data.get("cases", {}).items())
    rows = {
        "run": f"{record['settings'].get('run_name', 'unnamed')}, {record.get('status', 'unknown status')}",
        "sees": ", ".join(NAMES[modality] for modality in model.modalities),
        "network": f"{model.network}, {sum(parameter.numel() for parameter in model.load().parameters())} parameters",
        "voxels": " x ".join(f"{step:g}" for step in model.spacing) + " mm",
        "window": " x ".join(map(str, model.roi_size)) + " voxels",
        "data list": f"{data.get('name', 'unknown')} (hash {str(data.get('hash'))[:12]}); {cases}",
        "epochs": f"{record.get('epoch', 'unknown')} of {record.get('max_epochs', 'unknown')}",
        "chosen by": f"{best['metric']} {best['value']:.4f} in epoch {best['epoch']}" if best else "no validation",
        "trained with": ", ".join(f"{name} {environment[name]}" for name in ("torch", "monai") if name in environment),
        "SHA-256 of model.pt": weights_hash,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# Weights\n\n| | |\n|---|---|\n{table}\n\n{CAUTION}\n\n{DISCLAIMER}\n"
