"""A model's exports: written beside its weights, compared with them once, and recorded with the result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from pkdr_monai.data import inference_items
from pkdr_monai.data.phantom import write_cohort
from pkdr_monai.files import content_hash, file_hash, read_object, write_json
from pkdr_monai.handlers.run_record import environment
from pkdr_monai.packaging.comparison import MAX_LOGIT_DIFFERENCE, MIN_DICE, Comparison, compare, open_export
from pkdr_monai.packaging.exports import (
    BACKENDS,
    export_onnx,
    export_openvino,
    export_torchscript,
    missing_packages,
)
from pkdr_monai.packaging.trained_model import TrainedModel

__all__ = ["RECORD", "checked_exports"]

RECORD = "exports.json"
FIELD_OF_VIEW = 240.0  # millimetres along the first axis of a BraTS volume


def checked_exports(
    model: TrainedModel,
    metadata: Mapping[str, Any],
    config: Mapping[str, Any],
    shape: Sequence[int] = (240, 240, 155),
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Export a model to every backend that is installed, unless that is done, and compare each with the weights.

    The exports and their record, ``exports.json``, stay beside ``model.pt``. They are made anew when the weights or the
    metadata have changed, when a file is not the one that was checked, or when a backend has been installed since.

    Args:
        model: the model.
        metadata: content of the bundle's ``metadata.json``; it goes into the TorchScript file.
        config: content of the bundle's ``inference.json``, by which the volume is prepared and segmented.
        shape: voxels of the synthetic volume on which they are compared.
        tell: gets a line for each export.

    Returns:
        The record: ``"model"`` and its ``"sha256"``; ``"exports"``, for each ``"backend"``, ``"file"``, ``"sha256"`` by
        file, ``"max_logit_difference"``, ``"dice"`` by region, ``"time_ratio"`` to PyTorch in float32, ``"offered"``
        and, where it is not, the ``"reason"``; the ``"bounds"``, the ``"volume"`` and the ``"environment"``.
    """
    identity = {"model": "model.pt", "sha256": file_hash(model.weights), "metadata_hash": content_hash(metadata)}
    path = model.folder / RECORD
    if path.is_file():
        record = read_object(path)
        if _is_current(record, identity, model.folder):
            tell(f"exports: those of {path}, whose weights are the same")
            return record
    image = _volume(model.modalities, config, shape)
    network = model.load()
    written = _export(network, model.folder, metadata, config)
    found = compare(
        network, {name: open_export(file) for name, file in written.items()}, image, model.roi_size, config["overlap"]
    )
    record = {
        **identity,
        "exports": [_entry(name, model.folder, found.get(name)) for name in BACKENDS],
        "bounds": {"max_logit_difference": MAX_LOGIT_DIFFERENCE, "dice": MIN_DICE},
        "volume": {"content": "synthetic", "shape": list(shape), "preprocessed": list(image.shape[2:])},
        "environment": environment(torch.device("cpu")),
    }
    for entry in record["exports"]:
        tell(_line(entry))
    write_json(path, record)
    return record


def _is_current(record: Mapping[str, Any], identity: Mapping[str, Any], folder: Path) -> bool:
    """Whether a record is of these weights, its files are there unchanged, and what it left out is still missing."""
    if any(record.get(name) != value for name, value in identity.items()):
        return False
    for entry in record["exports"]:
        if entry["file"] is None and not missing_packages(entry["backend"]):
            return False
        for name, digest in entry["sha256"].items():
            if not (folder / name).is_file() or file_hash(folder / name) != digest:
                return False
    return True


def _export(
    network: nn.Module, folder: Path, metadata: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Path]:
    """Write the exports whose packages are there, and return their files by name."""
    paths = {name: folder / files[0] for name, files in BACKENDS.items() if not missing_packages(name)}
    export_torchscript(network, paths["torchscript"], metadata, config)
    if "onnx" in paths:
        export_onnx(network, paths["onnx"])
    if "openvino" in paths:
        export_openvino(paths["onnx"], paths["openvino"])
    return paths


def _volume(modalities: Sequence[str], config: Mapping[str, Any], shape: Sequence[int]) -> Tensor:
    """Return a synthetic case, prepared as the bundle prepares its scans, ``(1, M, X, Y, Z)``."""
    parser = ConfigParser(dict(config))
    preprocessing = parser.get_parsed_content("preprocessing")
    with tempfile.TemporaryDirectory() as folder:
        write_cohort(folder, cases=1, shape=shape, spacing=[FIELD_OF_VIEW / shape[0]] * 3)
        (item,) = inference_items(folder, modalities)
        return torch.as_tensor(preprocessing(item)["image"])[None].contiguous()


def _entry(backend: str, folder: Path, comparison: Comparison | None) -> dict[str, Any]:
    if comparison is None:
        missing = ", ".join(missing_packages(backend))
        return {"backend": backend, "file": None, "sha256": {}, "offered": False, "reason": f"{missing} not installed"}
    fault = comparison.fault
    return {
        "backend": backend,
        "file": BACKENDS[backend][0],
        "sha256": {name: file_hash(folder / name) for name in BACKENDS[backend]},
        "max_logit_difference": comparison.max_logit_difference,
        "dice": dict(comparison.dice),
        "time_ratio": round(comparison.time_ratio, 3),
        "offered": fault is None,
        "reason": fault,
    }


def _line(entry: Mapping[str, Any]) -> str:
    backend = entry["backend"]
    if entry["file"] is None:
        return f"{backend}: not exported; to have it, pip install {' '.join(missing_packages(backend))} and build again"
    measured = (
        f"logits differ by {entry['max_logit_difference']:.1e} at most, Dice with PyTorch's segmentation "
        f"{min(entry['dice'].values()):.4f} or more, time {entry['time_ratio']:.2f} of PyTorch's"
    )
    return f"{backend}: {measured}" + ("" if entry["offered"] else f"; NOT offered, since {entry['reason']}")
