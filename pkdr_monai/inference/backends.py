"""What computes a window: torch, ONNX Runtime or OpenVINO, and the choice between a model's checked exports."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_object
from pkdr_monai.networks import inference_copy
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.system import computes_in_bfloat16

__all__ = [
    "EXPORTS",
    "Backend",
    "Engine",
    "OnnxBackend",
    "OpenVinoBackend",
    "TorchBackend",
    "choose_engine",
    "open_export",
    "resolve_precision",
]


class Backend(Protocol):
    """A network that is ready to run.

    It takes a normalised image, float32, ``(1, M, X, Y, Z)`` with sides that 16 divides, on the device of its choice,
    and returns the logits of TC, WT and ET, float32, ``(1, 3, X, Y, Z)``, where the image was.
    """

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""


class TorchBackend:
    """A network in PyTorch: batch norm folded, channels last, in bfloat16 where that is fast.

    Args:
        network: the network, with its weights; it stays as it is.
        precision: ``"float32"``, ``"bfloat16"`` or ``"auto"``; see :func:`resolve_precision`.
        device: where to compute.

    Example:
        >>> from pkdr_monai.networks import PatchVNet
        >>> backend = TorchBackend(PatchVNet(1, init_filters=2), "float32")
        >>> tuple(backend(torch.zeros(1, 1, 16, 16, 16)).shape)
        (1, 3, 16, 16, 16)
    """

    def __init__(self, network: nn.Module, precision: str = "auto", device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.precision = resolve_precision(precision, self.device)
        self._dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        self._network = inference_copy(network, self._dtype).to(self.device)

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        moved = image.to(self.device, self._dtype, memory_format=torch.channels_last_3d)
        return self._network(moved).to(image.device, torch.float32, memory_format=torch.contiguous_format)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return ``"bfloat16"`` or ``"float32"`` for ``"auto"``: the former where the processor itself computes in it.

    Elsewhere bfloat16 would be emulated, and slower than float32.

    Example:
        >>> resolve_precision("float32", torch.device("cpu"))
        'float32'
    """
    if precision != "auto":
        return precision
    return "bfloat16" if computes_in_bfloat16(device) else "float32"


class OnnxBackend:
    """A network in ONNX Runtime, on the CPU in float32, with as many threads as PyTorch has.

    Args:
        path: ``model.onnx``, whose input is called ``image``; it takes a batch of one.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        (logits,) = self._session.run(None, {"image": image.cpu().numpy()})
        return torch.from_numpy(logits)


class OpenVinoBackend:
    """A network in OpenVINO, on the CPU in float32, with as many threads as PyTorch has.

    Not in bfloat16: there, OpenVINO 2026.4 was seen to spoil the memory of its process, which died later, elsewhere.

    Args:
        path: ``model.xml``, with ``model.bin`` beside it; it takes a batch of one.
    """

    def __init__(self, path: str | Path) -> None:
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._model = openvino.Core().compile_model(Path(path), "CPU", settings)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return torch.from_numpy(self._model(image.cpu().numpy())[0].copy())  # the engine keeps the original


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
            raise InputError(f"{path} is not the file that {EXPORTS} beside it describes: {CHECK_IT}.")
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
