"""Build a bundle's zip: the configs, this package, the licences and, where there are any, weights and exports."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pkdr_monai
from pkdr_monai import DISCLAIMER
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, read_object
from pkdr_monai.inference.backends import EXPORTS
from pkdr_monai.modalities import SPELLING, parse_modalities
from pkdr_monai.networks import build_network, load_model
from pkdr_monai.packaging.archive import LARGE_FILES, large_files_page, write_archive
from pkdr_monai.packaging.checked_exports import checked_exports
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.runs.models import read_model

__all__ = ["build_bundle", "config_of", "mark_demonstration", "metadata_of", "weights_page"]

DEMONSTRATION = "Demonstration on synthetic data: the weights have never seen a patient."
CAUTION = """The validation score chose the epoch. It is no test result, and says nothing about other scanners, sites or
patients. `models/exports.json` says how far each export is from these weights."""


def config_of(config: Mapping[str, Any], card: ModelCard) -> dict[str, Any]:
    """Return ``train.json`` or ``inference.json`` with the network and the settings of a trained model.

    Args:
        config: content of the file.
        card: the model's card.
    """
    adapted = copy.deepcopy(dict(config))
    adapted["modality"] = "+".join(card.modalities)
    adapted["spacing"], adapted["roi_size"] = list(card.spacing), list(card.roi_size)
    adapted["network_def"] = _linked(card.network, adapted)
    return adapted


def _linked(network: Mapping[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Return a network's description in which channels and filters are those of the config's own settings."""
    linked = {name: _linked(part, config) if isinstance(part, Mapping) else part for name, part in network.items()}
    if "available" in linked:
        linked["available"] = "@modalities"
    if "in_channels" in linked:
        linked["in_channels"] = "$len(@modalities)"
    if "init_filters" in linked:
        config["init_filters"] = linked["init_filters"]
        linked["init_filters"] = "@init_filters"
    return linked


def metadata_of(metadata: Mapping[str, Any], card: ModelCard, demonstration: bool) -> dict[str, Any]:
    """Return ``metadata.json`` with the channels of a trained model, and marked where it is a demonstration.

    Args:
        metadata: content of the file.
        card: the model's card.
        demonstration: say wherever it is read that the weights were trained on synthetic data.
    """
    adapted = copy.deepcopy(dict(metadata))
    image = adapted["network_data_format"]["inputs"]["image"]
    image["num_channels"] = len(card.modalities)
    image["channel_def"] = {str(number): SPELLING[modality] for number, modality in enumerate(card.modalities)}
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


def weights_page(card: ModelCard, record: Mapping[str, Any]) -> str:
    """Return ``docs/weights.md``: where the weights of the bundle come from.

    Args:
        card: the model's card, as it was read from a disk.
        record: content of its run's ``run.json``.
    """
    network = build_network(card.network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    data, best, environment = (record.get(name) or {} for name in ("data_list", "best", "environment"))
    cases = ", ".join(f"{part} {count}" for part, count in data.get("cases", {}).items())
    rows = {
        "run": f"{card.name}, {record.get('status', 'unknown status')}",
        "sees": ", ".join(SPELLING[modality] for modality in card.modalities),
        "network": f"{type(network).__name__}, {parameters} parameters",
        "voxels": " x ".join(f"{step:g}" for step in card.spacing) + " mm",
        "window": " x ".join(map(str, card.roi_size)) + " voxels",
        "data list": f"{data.get('name', 'unknown')} (hash {str(data.get('hash'))[:12]}); {cases}",
        "epochs": f"{record.get('epoch', 'unknown')} of {record.get('max_epochs', 'unknown')}",
        "chosen by": f"{best['metric']} {best['value']:.4f} in epoch {best['epoch']}" if best else "no validation",
        "trained with": ", ".join(f"{name} {environment[name]}" for name in ("torch", "monai") if name in environment),
        "SHA-256 of model.pt": card.sha256,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# Weights\n\n| | |\n|---|---|\n{table}\n\n{CAUTION}\n\n{DISCLAIMER}\n"


PACKAGE = Path(pkdr_monai.__file__).parent
CODE = re.compile(r".*\.py|py\.typed")
LARGE = {".pt", ".ts", ".onnx", ".xml", ".bin"}  # what a web folder may hold in place of the zip
NAME = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
Content = dict[str, Path | bytes]


def build_bundle(
    output: str | Path,
    name: str,
    source: str | Path = "bundle",
    run: str | Path | None = None,
    demonstration: bool = False,
    weights_url: str | None = None,
    check_shape: Sequence[int] = (240, 240, 155),
    log: Callable[[str], None] = lambda line: None,
    modality: str | None = None,
) -> None:
    """Write a bundle's zip, which works where this package is not installed.

    The bytes depend on the bundle's source, this package and the run's folder alone. Exports are made once and kept in
    the run's ``models``, since how long they take is never the same twice.

    Args:
        output: the zip to write.
        name: of the bundle: the zip's only folder, and what ``monai.bundle.download --name`` is given.
        source: folder of the bundle, with ``configs`` and ``docs``.
        run: folder of the training whose weights the bundle gets; without it, those that the source comes with.
        demonstration: mark the bundle as a demonstration, trained on synthetic data.
        weights_url: folder on the web that will hold the weights, which the zip then leaves out.
        check_shape: voxels of the synthetic volume on which exports are compared with the weights.
        log: gets lines about what is done.
        modality: modalities that configs and metadata ask for, such as ``"flair"``, where the source's own weights are
            used; by default all that they serve.

    Raises:
        InputError: when a file is absent, or the settings do not go together.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"expected a name of letters, digits and underscores, such as pkdr_brats_mri, got {name!r}.")
    if run is None and (demonstration or weights_url):
        raise InputError(
            "only the weights of a training can be a demonstration or be hosted: name the training with --run."
        )
    if run is not None and modality:
        raise InputError("a training's modalities are its own: --modality is for the weights that come along.")
    files = _source(Path(source)) | _package()
    if run is not None:
        record, card = read_object(Path(run) / "run.json"), read_model(Path(run) / "models" / "model.pt")
        files |= _adapted(Path(source), card, record, demonstration)
        config, metadata = (json.loads(_bytes(files[f"configs/{part}.json"])) for part in ("inference", "metadata"))
        weights = _weights(card, checked_exports(card, metadata, config, check_shape, log))
        files = {path: content for path, content in files.items() if not path.startswith("models/")}
        files |= weights if weights_url is None else _hosted(weights, weights_url, log)
    elif (Path(source) / "models" / "model.json").is_file():
        card = read_model(Path(source) / "models" / "model.pt")
        card = card.seeing(parse_modalities(modality)) if modality else card
        load_model(card)
        files |= _configs(Path(source), card, demonstration=False)
        files |= {f"models/{name}": Path(source) / "models" / name for name in ("model.pt", "model.json")}
    write_archive(output, {f"{name}/{path}": content for path, content in files.items()})


def _source(source: Path) -> Content:
    """Return the files of the bundle's source; of ``models``, only the page that says what belongs there."""
    if not (source / "configs" / "metadata.json").is_file():
        raise InputError(f"{source} is no bundle: it has no configs/metadata.json. Name the bundle with --source.")
    found = [source / "LICENSE", *(path for part in ("configs", "docs") for path in (source / part).iterdir())]
    found.append(source / "models" / "README.md")
    return {path.relative_to(source).as_posix(): path for path in found if path.is_file() and path.name[0] != "."}


def _package() -> Content:
    """Return this package's code, for the folder beside ``configs``."""
    found = (path for path in PACKAGE.rglob("*") if CODE.fullmatch(path.name))
    return {path.relative_to(PACKAGE.parent).as_posix(): path for path in found}


def _adapted(source: Path, card: ModelCard, record: Mapping[str, Any], demonstration: bool) -> Content:
    """Return the configs, the metadata and the pages for a model."""
    files = _configs(source, card, demonstration)
    pages = {"docs/weights.md": weights_page(card, record)}
    if demonstration:
        pages["docs/README.md"] = (source / "docs" / "README.md").read_text(encoding="utf-8")
        pages = {path: mark_demonstration(page) for path, page in pages.items()}
    return files | {path: page.encode() for path, page in pages.items()}


def _configs(source: Path, card: ModelCard, demonstration: bool) -> Content:
    """Return the configs and the metadata for a model."""
    files: Content = {
        f"configs/{part}.json": _json(config_of(read_json(source / "configs" / f"{part}.json"), card))
        for part in ("train", "inference")
    }
    metadata = read_json(source / "configs" / "metadata.json")
    return files | {"configs/metadata.json": _json(metadata_of(metadata, card, demonstration))}


def _weights(card: ModelCard, exports: Mapping[str, Any]) -> Content:
    """Return the weights, the exports that are offered, and what describes them."""
    offered = [name for entry in exports["exports"] if entry["offered"] for name in entry["sha256"]]
    folder = Path(str(card.weights)).parent
    return {f"models/{name}": folder / name for name in ("model.pt", "model.json", EXPORTS, *offered)}


def _hosted(weights: Content, url: str, log: Callable[[str], None]) -> Content:
    """Return what stays in the zip when the large files lie elsewhere."""
    large = {
        path: content for path, content in weights.items() if isinstance(content, Path) and content.suffix in LARGE
    }
    for content in large.values():
        log(f"upload {content} to {url}")
    rest = {path: content for path, content in weights.items() if path not in large}
    return rest | {LARGE_FILES: large_files_page(large, url).encode()}


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=4) + "\n").encode()


def _bytes(content: Path | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()
