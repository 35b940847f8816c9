"""A model's exports: written beside its weights, compared with them once, and recorded with the result.

PyTorch's own faster ways, with batch norm folded and in bfloat16, are compared and recorded with them.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.inferers import SlidingWindowInferer
from torch import Tensor, nn

from pkdr_monai.data import inference_items
from pkdr_monai.files import content_hash, file_hash, read_object, write_json
from pkdr_monai.inference.backends import EXPORTS, Engine, TorchBackend, open_export, resolve_precision
from pkdr_monai.metrics import region_dice
from pkdr_monai.networks import load_model
from pkdr_monai.packaging.exports import (
    BACKENDS,
    export_onnx,
    export_openvino,
    export_torchscript,
    missing_packages,
)
from pkdr_monai.phantom import write_cohort
from pkdr_monai.regions import REGIONS
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.runs.record import environment

__all__ = ["BOUNDS", "MAX_LOGIT_DIFFERENCE", "Comparison", "checked_exports", "compare"]

MAX_LOGIT_DIFFERENCE = 1e-3
BOUNDS = {
    "float32": {"max_logit_difference": MAX_LOGIT_DIFFERENCE, "dice": 0.999},
    "bfloat16": {"dice": 0.995},  # rounding moves large logits most, where nothing depends on it
}
"""How far an engine may be from PyTorch in float32, by what it computes in."""

WARM_UP = 2  # passes before the clock runs: TorchScript watches the first and compiles in the second

Predictor = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Comparison:
    """What a comparison with float32 PyTorch found.

    Args:
        max_logit_difference: largest absolute difference of a logit.
        dice: agreement of the segmentations, by region; 1 where both are empty.
        time_ratio: seconds for a window, divided by PyTorch's.
    """

    max_logit_difference: float
    dice: Mapping[str, float]
    time_ratio: float

    def fault(self, precision: str) -> str | None:
        """Return why an engine that computes in a precision may not be offered, or ``None``."""
        largest, least = BOUNDS[precision].get("max_logit_difference", math.inf), BOUNDS[precision]["dice"]
        if not self.max_logit_difference <= largest:  # so that NaN is a fault too
            return f"a logit differs by {self.max_logit_difference:.2g}, more than {largest:g}"
        region = min(self.dice, key=lambda name: self.dice[name])
        if self.dice[region] < least:
            return f"the Dice of its {region.upper()} with PyTorch's is {self.dice[region]:.4f}, less than {least}"
        return None


@torch.inference_mode()
def compare(
    network: Predictor, engines: Mapping[str, Predictor], image: Tensor, roi_size: Sequence[int], overlap: float = 0.5
) -> dict[str, Comparison]:
    """Segment one image with every engine side by side, window by window, and compare each with the network.

    All see each window in turn, so that other work on the machine slows none of them alone. Before the clock runs, each
    sees the first window twice, since engines prepare themselves then.

    Args:
        network: the reference, on the CPU in float32.
        engines: predictors by name.
        image: preprocessed, ``(1, M, X, Y, Z)``.
        roi_size: window in voxels.
        overlap: of neighbouring windows.

    Returns:
        The comparison of each engine.
    """
    predictors: dict[str, Predictor] = {"": network, **engines}
    seconds: dict[str, list[float]] = {name: [] for name in predictors}

    def side_by_side(window: Tensor) -> Tensor:  # (1, 3 x predictors, x, y, z)
        if not seconds[""]:
            for predict in (*predictors.values(),) * WARM_UP:
                predict(window)
        outputs = []
        for name, predict in predictors.items():
            start = time.perf_counter()
            outputs.append(predict(window))
            seconds[name].append(time.perf_counter() - start)
        return torch.cat(outputs, dim=1)

    inferer = SlidingWindowInferer(roi_size, sw_batch_size=1, overlap=overlap)
    reference, *others = torch.split(torch.as_tensor(inferer(image, side_by_side)), len(REGIONS), dim=1)
    unit = statistics.median(seconds[""])
    return {
        name: Comparison(
            float((logits - reference).abs().max()),
            dict(zip(REGIONS, region_dice(logits[0] >= 0, reference[0] >= 0), strict=True)),
            statistics.median(seconds[name]) / unit,
        )
        for name, logits in zip(engines, others, strict=True)
    }


ENGINES = (
    Engine("torchscript", "float32"),
    Engine("onnx", "float32"),
    Engine("openvino", "float32"),
    Engine("torch", "float32"),
    Engine("torch", "bfloat16"),
)
CPU = torch.device("cpu")
FIELD_OF_VIEW = 240.0  # millimetres along the first axis of a BraTS volume


def checked_exports(
    card: ModelCard,
    metadata: Mapping[str, Any],
    config: Mapping[str, Any],
    shape: Sequence[int] = (240, 240, 155),
    log: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Export a model to every backend that is installed, unless that is done, and compare each with the weights.

    The exports and their record, ``exports.json``, stay beside ``model.pt``. They are made again when weights or
    metadata have changed, when a file is not the one that was checked, or when a backend has been installed since.

    Args:
        card: the model's card, as it was read from a disk.
        metadata: content of the bundle's ``metadata.json``; it goes into the TorchScript file.
        config: content of the bundle's ``inference.json``, by which the volume is prepared and segmented.
        shape: voxels of the synthetic volume on which they are compared.
        log: gets a line for each export.

    Returns:
        The record: ``"model"`` and its ``"sha256"``; ``"exports"``, for each ``"backend"`` and ``"precision"``,
        ``"file"``, ``"sha256"`` by file, ``"max_logit_difference"``, ``"dice"`` by region, ``"time_ratio"`` to eager
        PyTorch in float32, ``"offered"`` and, where it is not, the ``"reason"``; the ``"bounds"``, the ``"volume"`` and
        the ``"environment"``.
    """
    network, folder = load_model(card), Path(str(card.weights)).parent
    identity = {"model": "model.pt", "sha256": card.sha256, "metadata_hash": content_hash(metadata)}
    path = folder / EXPORTS
    if path.is_file():
        record = read_object(path)
        if _is_current(record, identity, folder):
            log(f"exports: those of {path}, whose weights are the same")
            return record
    image = _volume(card.modalities, config, shape)
    _export(network, folder, metadata, config)
    engines = {str(engine): _open(engine, network, folder) for engine in ENGINES if _hindrance(engine) is None}
    found = compare(network, engines, image, card.roi_size, config["overlap"])
    record = {
        **identity,
        "exports": [_entry(engine, folder, found.get(str(engine))) for engine in ENGINES],
        "bounds": BOUNDS,
        "volume": {"content": "synthetic", "shape": list(shape), "preprocessed": list(image.shape[2:])},
        "environment": environment(CPU),
    }
    for engine, entry in zip(ENGINES, record["exports"], strict=True):
        log(_line(engine, entry))
    write_json(path, record)
    return record


def _is_current(record: Mapping[str, Any], identity: Mapping[str, Any], folder: Path) -> bool:
    """Whether a record is of these weights and engines, its files are unchanged, and what it left out still lacks."""
    if any(record.get(name) != value for name, value in identity.items()):
        return False
    entries = record["exports"]
    if [(entry["backend"], entry.get("precision")) for entry in entries] != [
        (engine.backend, engine.precision) for engine in ENGINES
    ]:
        return False
    for engine, entry in zip(ENGINES, entries, strict=True):
        if entry["file"] is None and _hindrance(engine) is None:
            return False
        for name, digest in entry["sha256"].items():
            if not (folder / name).is_file() or file_hash(folder / name) != digest:
                return False
    return True


def _hindrance(engine: Engine) -> str | None:
    """Return why an engine cannot be tried here, or ``None``."""
    if missing := missing_packages(engine.backend):
        return f"{', '.join(missing)} not installed"
    if engine.precision == "bfloat16" and resolve_precision("auto", CPU) != "bfloat16":
        return "this processor does not compute in bfloat16"
    return None


def _export(network: nn.Module, folder: Path, metadata: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Write the exports whose packages are there."""
    paths = {name: folder / files[0] for name, files in BACKENDS.items() if not missing_packages(name)}
    export_torchscript(network, paths["torchscript"], metadata, config)
    if "onnx" in paths:
        export_onnx(network, paths["onnx"])
    if "openvino" in paths:
        export_openvino(paths["onnx"], paths["openvino"])


def _open(engine: Engine, network: nn.Module, folder: Path) -> Callable[[Tensor], Tensor]:
    if engine.backend == "torch":
        return TorchBackend(network, engine.precision)
    path = folder / BACKENDS[engine.backend][0]
    if engine.backend == "torchscript":
        return torch.jit.load(path, map_location="cpu").eval()
    return open_export(engine.backend, path)


def _volume(modalities: Sequence[str], config: Mapping[str, Any], shape: Sequence[int]) -> Tensor:
    """Return a synthetic case, prepared as the bundle prepares its scans, ``(1, M, X, Y, Z)``."""
    parser = ConfigParser(dict(config))
    preprocessing = parser.get_parsed_content("preprocessing")
    with tempfile.TemporaryDirectory() as folder:
        write_cohort(folder, cases=1, shape=shape, spacing=[FIELD_OF_VIEW / shape[0]] * 3)
        (item,) = inference_items(folder, modalities)
        return torch.as_tensor(preprocessing(item)["image"])[None].contiguous()


def _entry(engine: Engine, folder: Path, comparison: Comparison | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"backend": engine.backend, "precision": engine.precision}
    if comparison is None:
        return {**entry, "file": None, "sha256": {}, "offered": False, "reason": _hindrance(engine)}
    fault = comparison.fault(engine.precision)
    files = BACKENDS.get(engine.backend, ("model.pt",))
    return {
        **entry,
        "file": files[0],
        "sha256": {name: file_hash(folder / name) for name in files},
        "max_logit_difference": comparison.max_logit_difference,
        "dice": dict(comparison.dice),
        "time_ratio": round(comparison.time_ratio, 3),
        "offered": fault is None,
        "reason": fault,
    }


def _line(engine: Engine, entry: Mapping[str, Any]) -> str:
    if entry["file"] is None:
        missing = " ".join(missing_packages(engine.backend))
        remedy = f"; to have it, pip install {missing} and build again" if missing else ""
        return f"{engine}: not tried, since {entry['reason']}{remedy}"
    measured = (
        f"logits differ by {entry['max_logit_difference']:.1e} at most, Dice with PyTorch's segmentation "
        f"{min(entry['dice'].values()):.4f} or more, time {entry['time_ratio']:.2f} of PyTorch's"
    )
    return f"{engine}: {measured}" + ("" if entry["offered"] else f"; NOT offered, since {entry['reason']}")
