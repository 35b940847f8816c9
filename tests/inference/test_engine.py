"""The fastest engine that was checked computes; one that was not, or is another file, is never taken in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.inference import backends as module
from pkdr_monai.inference.backends import Engine, choose_engine
from pkdr_monai.runs.model_card import ModelCard

CPU = torch.device("cpu")
RATIOS = {
    ("torch", "float32"): 0.8,
    ("torch", "bfloat16"): 0.45,
    ("onnx", "float32"): 1.1,
    ("openvino", "float32"): 0.7,
    ("openvino", "bfloat16"): 0.36,
}
FILES = {"torch": ["model.pt"], "onnx": ["model.onnx"], "openvino": ["model.xml", "model.bin"]}


@pytest.fixture
def card(tmp_path: Path) -> ModelCard:
    for name in ("model.pt", "model.onnx", "model.xml", "model.bin"):
        (tmp_path / name).write_bytes(name.encode())
    network = {"_target_": "pkdr_monai.networks.vnet.PatchVNet", "in_channels": 1}
    card = ModelCard("student", ("t2",), network, (1, 1, 1), (32, 32, 32)).with_weights(tmp_path / "model.pt")
    entries = [_entry(tmp_path, *engine, ratio) for engine, ratio in RATIOS.items()]
    _write(card, {"sha256": card.sha256, "exports": [{"backend": "torchscript"}, *entries]})
    return card


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that computes in bfloat16, and every engine installed."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(module, "_installed", lambda backend: True)


def _entry(folder: Path, backend: str, precision: str, ratio: float) -> dict[str, Any]:
    hashes = {name: file_hash(folder / name) for name in FILES[backend]}
    entry = {"backend": backend, "precision": precision, "file": FILES[backend][0], "sha256": hashes}
    return {**entry, "time_ratio": ratio, "offered": True, "reason": None}


def _path(card: ModelCard) -> Path:
    assert card.weights is not None
    return card.weights.with_name("exports.json")


def _write(card: ModelCard, record: dict[str, Any]) -> None:
    _path(card).write_text(json.dumps(record))


def _change(card: ModelCard, engine: tuple[str, str], **values: Any) -> None:
    record = json.loads(_path(card).read_text())
    for entry in record["exports"]:
        if (entry["backend"], entry.get("precision")) == engine:
            entry |= values
    _write(card, record)


@pytest.mark.parametrize(
    ("backend", "precision", "expected"),
    [
        ("auto", "auto", "torch in bfloat16"),
        ("openvino", "auto", "openvino in float32"),
        ("auto", "float32", "openvino in float32"),
        ("onnx", "auto", "onnx in float32"),
        ("openvino", "float32", "openvino in float32"),
        ("torch", "auto", "torch in bfloat16"),
        ("torch", "float32", "torch in float32"),
    ],
)
def test_the_fastest_that_fits_computes(backend: str, precision: str, expected: str, card: ModelCard) -> None:
    assert str(choose_engine(card, backend, precision, CPU)) == expected


def test_an_export_is_opened_from_beside_the_weights(card: ModelCard, tmp_path: Path) -> None:
    assert choose_engine(card, "auto", "float32", CPU).path == tmp_path / "model.xml"


def test_without_bfloat16_in_the_processor_float32_computes(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert choose_engine(card, "auto", "auto", CPU) == Engine(
        "openvino", "float32", card.weights.with_name("model.xml")
    )


def test_what_is_not_installed_is_passed_over(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_installed", lambda backend: backend == "torch")
    assert str(choose_engine(card, "auto", "auto", CPU)) == "torch in bfloat16"
    with pytest.raises(InputError, match=r"openvino is not installed \(pip install 'pkdr-monai\[openvino\]'\)"):
        choose_engine(card, "openvino", "auto", CPU)


def test_what_was_found_to_differ_is_not_offered(card: ModelCard) -> None:
    reason = "the Dice of its ET with PyTorch's is 0.9900, less than 0.995"
    _change(card, ("torch", "bfloat16"), offered=False, reason=reason)
    assert str(choose_engine(card, "auto", "auto", CPU)) == "openvino in float32"
    _change(card, ("openvino", "float32"), offered=False, reason=reason)
    with pytest.raises(InputError, match="openvino cannot compute model student: in float32, the Dice of its ET"):
        choose_engine(card, "openvino", "float32", CPU)


def test_where_nothing_passed_pytorch_computes_in_float32(card: ModelCard) -> None:
    for engine in RATIOS:
        _change(card, engine, offered=False, reason="it differs")
    assert choose_engine(card, "auto", "auto", CPU) == Engine("torch", "float32")
    assert choose_engine(card, "torch", "bfloat16", CPU) == Engine("torch", "bfloat16")  # said in so many words


def test_a_file_that_is_not_the_one_that_was_checked_is_refused(card: ModelCard, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"other")
    with pytest.raises(InputError, match=r"model\.bin is not the file that exports\.json beside it describes"):
        choose_engine(card, "openvino", "auto", CPU)


def test_without_a_record_pytorch_computes(card: ModelCard) -> None:
    _path(card).unlink()
    assert choose_engine(card, "auto", "auto", CPU) == Engine("torch", "bfloat16")
    with pytest.raises(InputError, match="model student has no checked export for onnx: `pkdr bundle build"):
        choose_engine(card, "onnx", "auto", CPU)


def test_a_record_of_other_weights_counts_for_nothing(card: ModelCard) -> None:
    record = json.loads(_path(card).read_text())
    _write(card, record | {"sha256": "0" * 64})
    assert choose_engine(card, "auto", "auto", CPU) == Engine("torch", "bfloat16")


def test_a_damaged_record_is_named(card: ModelCard) -> None:
    _write(card, {"exports": 3})
    with pytest.raises(InputError, match=r"exports\.json is no record of exports: delete it"):
        choose_engine(card, "auto", "auto", CPU)


def test_exports_compute_on_the_cpu_alone(card: ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    cuda = torch.device("cuda")
    assert choose_engine(card, "auto", "auto", cuda) == Engine("torch", "bfloat16")
    with pytest.raises(InputError, match="openvino computes on the CPU alone here"):
        choose_engine(card, "openvino", "auto", cuda)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_exports_do_not_compute_in_bfloat16(backend: str, card: ModelCard) -> None:
    """Not even where an older record offers it."""
    with pytest.raises(InputError, match=f"{backend} cannot compute model student: it was not checked in this precis"):
        choose_engine(card, backend, "bfloat16", CPU)
