"""What the person who segments is shown: which model, what to expect of it, where not to trust it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.inference.predictor import Settings
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import REGION_NAMES, REGIONS, SHOWN
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.workflow import find_configs

__all__ = ["DOUBTFUL_DICE", "NOTE", "bundle_command", "describe_model", "describe_volumes", "warnings_about"]

DOUBTFUL_DICE = 0.5
"""A region whose expected Dice is lower is not to be trusted: most of what is drawn or of what is there is wrong."""

NOTE = "Research software, not a medical device: no decision about a patient may rest on it."
NO_PATIENT = (
    "  trained on no patient, on synthetic ones alone; their few intensity parameters were set by statistics of "
    "24 BraTS cases as a whole"
)
COMPACT = "pkdr_monai.networks.vnet.PatchVNet"
CONFIGS = "bundle/configs"  # in the repository


def describe_model(card: ModelCard) -> list[str]:
    """Say which model runs, and what Dice to expect of it, by region and with its spread."""
    lines = [
        f"model: {card.name}, version {card.version}, sha256 {str(card.sha256)[:12]}, "
        f"sees {', '.join(card.modalities)} ({card.weights})"
    ]
    if card.synthetic and not card.demonstration:
        lines.append(NO_PATIENT)
    evaluation = card.evaluation
    if evaluation is not None:
        scores = ", ".join(
            f"{region.upper()} {_spread(evaluation.mean[region], evaluation.deviation[region])}" for region in SHOWN
        )
        where = f"{evaluation.cases} {evaluation.section} cases of {evaluation.data.get('name')}"
        lines.append(f"  expected Dice, as measured on {where} (mean ± standard deviation): {scores}")
    return lines


def warnings_about(card: ModelCard) -> list[str]:
    """Say where a model is not to be trusted."""
    warnings = []
    if card.demonstration:
        warnings.append(f"{card.name} is a demonstration on synthetic cases, not for patients.")
    elif card.synthetic:
        warnings.append(
            f"expect {card.name} to find a tumour in a head without one, too: use it where a tumour is known to be."
        )
    if card.evaluation is None:
        warnings.append(f"{card.name} was never evaluated: nothing is known about its quality.")
        return warnings
    if card.evaluation.section == "training":
        warnings.append(f"{card.name} was evaluated on cases that it learnt from: expect less on others.")
    doubtful = [region for region in SHOWN if card.evaluation.mean[region] < DOUBTFUL_DICE]
    for region in doubtful:
        warnings.append(
            f"do not trust {region.upper()} ({REGION_NAMES[region]}) of {card.name}, which sees "
            f"{', '.join(card.modalities)}: its expected Dice, {card.evaluation.mean[region]:.2f}, is below "
            f"{DOUBTFUL_DICE:g}."
        )
    return warnings


def describe_volumes(volumes: Mapping[str, Mapping[str, float]]) -> str:
    """Write volumes with their intervals.

    Example:
        >>> volume = {"ml": 2.0, "low": 1.0, "high": 3.0}
        >>> describe_volumes({"wt": volume, "tc": volume, "et": volume})[:23]
        'WT 2.0 mL (1.0 to 3.0),'
    """
    parts = (
        f"{region.upper()} {{ml:.1f}} mL ({{low:.1f}} to {{high:.1f}})".format(**volumes[region]) for region in SHOWN
    )
    return ", ".join(parts)


def bundle_command(
    card: ModelCard,
    inputs: Sequence[str | Path],
    named: Mapping[str, str | Path] | None,
    settings: Settings,
    output: str | Path,
) -> str:
    """Return the command of the MONAI bundle that segments the same with the same model, in float32.

    It writes the label map alone.
    """
    options: dict[str, Any] = {"modality": "all" if card.modalities == MODALITIES else "+".join(card.modalities)}
    if named:
        options["datalist"] = json.dumps([[str(named[modality]) for modality in card.modalities]])
    elif len(inputs) == 1:
        options["dataset_dir"] = inputs[0]
    else:
        options["datalist"] = f"$pkdr_monai.data.inference_items({[str(path) for path in inputs]}, @modalities)"
    options |= {"checkpoint": card.weights, "output_dir": output, **_network_options(card)}
    options["spacing"] = json.dumps(card.spacing)
    options["roi_size"] = json.dumps([-1, -1, -1] if settings.fast else card.roi_size)
    if settings.window_overlap != Settings.window_overlap:
        options["overlap"] = settings.window_overlap
    if settings.blend != Settings.blend:
        options["inferer#mode"] = settings.blend
    if settings.geometry != Settings.geometry:
        options["geometry"] = settings.geometry
    if settings.force:
        options["force"] = True
    options["label_scheme"] = settings.label_scheme or card.label_scheme
    words = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items()]
    return f"python -m monai.bundle run evaluating --config_file {_config()} {' '.join(words)}"


def _network_options(card: ModelCard) -> dict[str, str]:
    """Say in which arguments the network differs from that of the config; another class is said whole."""
    network = dict(card.network)
    if network.pop("_target_") != COMPACT:
        return {"network_def": repr(dict(card.network))}  # the command line reads Python, where `false` is a text
    defaults = {"in_channels": len(card.modalities), "out_channels": len(REGIONS), "init_filters": 16}
    defaults |= {"patch_head": False, "patch_size": 16}
    differing = {name: value for name, value in network.items() if value != defaults.get(name)}
    return {name if name == "init_filters" else f"network_def#{name}": repr(value) for name, value in differing.items()}


def _config() -> str:
    try:
        return shlex.quote(str(find_configs() / "inference.json"))
    except InputError:  # installed without the bundle
        return f"{CONFIGS}/inference.json"


def _spread(mean: float, deviation: float | None) -> str:
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"
