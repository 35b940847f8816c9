"""``pkdr info``: what is installed, and which models are at hand."""

import dataclasses
import json as json_format
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import pkdr_monai
from pkdr_monai.arguments import names, switch
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import LABEL_SCHEMES, REGIONS
from pkdr_monai.terminal import command, echo

__all__ = ["info"]

REQUIRED = ("torch", "monai", "pytorch-ignite", "nibabel", "fire")
OPTIONAL = ("onnxruntime", "openvino", "mlflow", "submitit")


@command(models=names, json=switch)
def info(*, models: tuple[str, ...] = (), json: bool = False) -> None:
    """Print versions, and the models at hand with the Dice to expect of each.

    Example: pkdr info --models runs,demo/runs

    Args:
        models: folders to look for models in, with commas between them; default: models, runs, demo/runs.
        json: write JSON, for machines.
    """
    from pkdr_monai.runs.models import default_folders, list_models

    folders = [Path(folder) for folder in models] or [folder for folder in default_folders() if folder.is_dir()]
    facts: dict[str, Any] = {
        "version": pkdr_monai.__version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in (*REQUIRED, *OPTIONAL)},
        "modalities": list(MODALITIES),
        "regions": list(REGIONS),
        "label_schemes": list(LABEL_SCHEMES),
        "models": [dataclasses.asdict(card) for card in list_models(folders)],
        "note": pkdr_monai.DISCLAIMER,
    }
    if json:
        echo(json_format.dumps(facts, indent=2, default=str))
    else:
        _tell(facts)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _tell(facts: dict[str, Any]) -> None:
    """Write the facts for people."""
    packages = [f"{name} {version or 'not installed'}" for name, version in facts["packages"].items()]
    echo(f"pkdr {facts['version']}, Python {facts['python']}: {', '.join(packages)}")
    for model in facts["models"]:
        evaluation = model["evaluation"]
        dice = "never evaluated"
        if evaluation:
            means = ", ".join(f"{region.upper()} {mean:.2f}" for region, mean in evaluation["mean"].items())
            dice = f"Dice {means} on {evaluation['cases']} {evaluation['section']} cases"
        synthetic = model["training_data"] and model["training_data"]["synthetic"]
        warning = "; trained on synthetic cases, for demonstration" if synthetic else ""
        echo(f"{model['name']}: sees {', '.join(model['modalities'])}; {dice}{warning} ({model['weights']})")
    if not facts["models"]:
        echo("no models here; `make demo-training` trains some on synthetic cases, and --models names other folders")
    echo(facts["note"])
