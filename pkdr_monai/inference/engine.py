"""Which engine computes a model here: the fastest one whose result was checked when it was exported."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_object
from pkdr_monai.inference.backends import Backend, resolve_precision
from pkdr_monai.inference.onnx_backend import OnnxBackend
from pkdr_monai.inference.openvino_backend import OpenVinoBackend
from pkdr_monai.runs.model_card import ModelCard

__all__ = ["EXPORTS", "Engine", "choose_engine", "open_export"]

EXPORTS = "exports.json"  # beside model.pt
PACKAGES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
LOW = ("torch",)  # what computes in bfloat16
CHECK_IT = "`pkdr bundle build --run RUN` makes its exports and checks them"


@dataclass(frozen=True)
class Engine:
    """What computes a network.

    Args:
        backend: ``"torch"``, ``"onnx"`` or ``"openvino"``.
        precision: ``"float32"`` or ``"bfloat16"``.
        path: the exported file; ``None`` for PyTorch, which takes the weights.

    Example:
        >>> str(Engine("openvino", "bfloat16"))
        'openvino in bfloat16'
    """

    backend: str
    precision: str
    path: Path | None = None

    def __str__(self) -> str:
        return f"{self.backend} in {self.precision}"


def choose_engine(card: ModelCard, backend: str, precision: str, device: torch.device) -> Engine:
    """Choose what computes a model.

    ``pkdr bundle build`` segments one volume with every engine and writes to ``exports.json``, beside the weights, how
    far each is from PyTorch in float32 and how long it takes. ``"auto"`` takes the fastest of those that are within
    their bounds and can run here. Where there is no such record, PyTorch computes.

    Args:
        card: the model's card, read from a disk.
        backend: ``"auto"``, ``"torch"``, ``"onnx"`` or ``"openvino"``.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        device: where to compute; exports run on the CPU alone.

    Raises:
        InputError: when the engine asked for is not there, was found to differ, or is not the file that was checked.
    """
    native = resolve_precision(precision, device)
    if device.type != "cpu":
        if backend not in ("auto", "torch"):
            raise InputError(f"{backend} computes on the CPU alone here: choose --device cpu, or --backend torch.")
        return Engine("torch", native)
    entries = _checked(card)
    if backend == "torch" and precision != "auto":
        return Engine("torch", precision)  # said in so many words
    if entries is None:
        if backend in ("auto", "torch"):
            return Engine("torch", native)
        raise InputError(f"model {card.name} has no checked export for {backend}: {CHECK_IT}.")
    precisions = {"float32", native} if precision == "auto" else {precision}
    wanted = [entry for entry in entries if backend in ("auto", entry["backend"]) and entry["precision"] in precisions]
    usable = [entry for entry in wanted if entry["offered"] and _installed(entry["backend"])]
    if usable:
        best = min(usable, key=lambda entry: entry["time_ratio"])
        return Engine(best["backend"], best["precision"], _file(card, best))
    if backend in ("auto", "torch"):
        return Engine("torch", "float32" if precision == "auto" else precision)
    raise InputError(f"{backend} cannot compute model {card.name}: {'; '.join(_reasons(backend, wanted))}.")


def open_export(backend: str, path: Path) -> Backend:
    """Open an exported file in the engine that it is for, ``"onnx"`` or ``"openvino"``."""
    return OnnxBackend(path) if backend == "onnx" else OpenVinoBackend(path)


def _checked(card: ModelCard) -> list[dict[str, Any]] | None:
    """Return what was found of each engine, or ``None`` where nothing was, or of other weights."""
    if card.weights is None or not (path := card.weights.with_name(EXPORTS)).is_file():
        return None
    record = read_object(path)
    try:
        entries = [entry for entry in record["exports"] if entry["backend"] in PACKAGES]
        if record["sha256"] != card.sha256 or not all("precision" in entry for entry in entries):
            return None
        return [entry for entry in entries if entry["precision"] == "float32" or entry["backend"] in LOW]
    except (KeyError, TypeError):
        raise InputError(f"{path} is no record of exports: delete it; {CHECK_IT}.") from None


def _file(card: ModelCard, entry: dict[str, Any]) -> Path | None:
    """Return the file that the engine opens, or ``None`` for PyTorch, after a look at the hashes."""
    if entry["backend"] == "torch" or card.weights is None:
        return None
    for name, digest in entry["sha256"].items():
        path = card.weights.with_name(Path(name).name)
        if not path.is_file() or file_hash(path) != digest:
            raise InputError(f"{path} is not the file that {EXPORTS} beside it speaks of: {CHECK_IT}.")
    return card.weights.with_name(Path(entry["file"]).name)


def _reasons(backend: str, entries: list[dict[str, Any]]) -> Iterator[str]:
    if not _installed(backend):
        yield f"{PACKAGES[backend]} is not installed (pip install 'pkdr-monai[{backend}]')"
    elif not entries:
        yield "it was not checked in this precision"
    for entry in entries:
        if not entry["offered"]:
            yield f"in {entry['precision']}, {entry['reason']}"


def _installed(backend: str) -> bool:
    return importlib.util.find_spec(PACKAGES[backend]) is not None
