"""Exports are compared with the network, and recorded with the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pkdr_monai.files import file_hash
from pkdr_monai.inference.backends import Engine
from pkdr_monai.packaging import checked_exports as module
from pkdr_monai.packaging.build import config_of
from pkdr_monai.packaging.checked_exports import Comparison, checked_exports, compare
from pkdr_monai.runs.models import read_model

from .conftest import CHECK_SHAPE, SOURCE

ENGINES = 5
CONFIG = json.loads((SOURCE / "configs" / "inference.json").read_text())
IMAGE = torch.randn(1, 1, 24, 16, 16, generator=torch.Generator().manual_seed(0))


def _export(run: Path, version: str = "1") -> tuple[dict, list[str]]:
    model, lines = read_model(run), []
    return checked_exports(model, {"version": version}, config_of(CONFIG, model), CHECK_SHAPE, lines.append), lines


def test_the_record_tells_file_hash_difference_and_what_is_not_installed(run: Path, torchscript_alone: None) -> None:
    record, lines = _export(run)
    script, onnx, openvino, *_ = record["exports"]
    assert script["file"] == "model.ts"
    assert script["sha256"] == {"model.ts": file_hash(run / "models" / "model.ts")}
    assert script["offered"]
    assert script["max_logit_difference"] < 1e-4
    assert script["dice"] == {"tc": 1, "wt": 1, "et": 1}
    assert script["time_ratio"] > 0
    assert (onnx["offered"], onnx["file"]) == (False, None)
    assert openvino["reason"] == "a_package_that_is_nowhere not installed"
    assert lines[1] == (
        "onnx in float32: not tried, since a_package_that_is_nowhere not installed; "
        "to have it, pip install a_package_that_is_nowhere and build again"
    )
    assert json.loads((run / "models" / "exports.json").read_text()) == record


def test_what_is_exported_and_checked_is_not_done_again(run: Path, torchscript_alone: None) -> None:
    first, _ = _export(run)
    again, lines = _export(run)
    assert again == first
    assert lines == [f"exports: those of {run / 'models' / 'exports.json'}, whose weights are the same"]


def _other_weights(run: Path) -> None:
    state = torch.load(run / "models" / "model.pt", weights_only=True)
    torch.save(
        {name: value * 1 + (value.is_floating_point() * 0.1) for name, value in state.items()}, run / "models/model.pt"
    )
    read_model(run).with_weights(run / "models" / "model.pt").write()


def _other_export(run: Path) -> None:
    (run / "models" / "model.ts").write_bytes(b"other")


@pytest.mark.parametrize("change", [_other_weights, _other_export])
def test_it_is_done_again_after_a_change(change: Callable[[Path], None], run: Path, torchscript_alone: None) -> None:
    _export(run)
    change(run)
    record, lines = _export(run)
    assert len(lines) == ENGINES
    assert record["exports"][0]["sha256"] == {"model.ts": file_hash(run / "models" / "model.ts")}
    assert record["sha256"] == file_hash(run / "models" / "model.pt")


def test_it_is_done_again_with_other_metadata(run: Path, torchscript_alone: None) -> None:
    _export(run)
    assert len(_export(run, version="2")[1]) == ENGINES


def test_it_is_done_again_when_the_processor_has_learnt_bfloat16(
    run: Path, torchscript_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "resolve_precision", lambda precision, device: "float32")
    record, lines = _export(run)
    assert record["exports"][-1]["reason"] == "this processor does not compute in bfloat16"
    assert lines[-1] == "torch in bfloat16: not tried, since this processor does not compute in bfloat16"
    assert len(_export(run)[1]) == 1
    monkeypatch.setattr(module, "resolve_precision", lambda precision, device: "bfloat16")
    record, lines = _export(run)
    assert len(lines) == ENGINES
    assert record["exports"][-1]["max_logit_difference"] > 0


def test_pytorchs_own_faster_ways_are_checked_too(run: Path, torchscript_alone: None) -> None:
    folded = _export(run)[0]["exports"][-2]
    assert (folded["backend"], folded["precision"], folded["offered"]) == ("torch", "float32", True)
    assert folded["sha256"] == {"model.pt": file_hash(run / "models" / "model.pt")}
    assert folded["max_logit_difference"] < 1e-4


def test_an_export_that_differs_is_not_offered(
    run: Path, torchscript_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = module._open

    def shifted(engine: Engine, *where: Any) -> Callable[[torch.Tensor], torch.Tensor]:
        predict = true(engine, *where)
        return (lambda image: predict(image) + 0.5) if engine.backend == "torchscript" else predict

    monkeypatch.setattr(module, "_open", shifted)
    record, lines = _export(run)
    assert not record["exports"][0]["offered"]
    assert "NOT offered, since a logit differs by 0.5" in lines[0]


def _network(image: torch.Tensor) -> torch.Tensor:
    return torch.cat([image, image - 0.5, image + 0.5], dim=1)


def test_each_export_is_compared_with_the_network() -> None:
    found = compare(
        _network,
        {"same": _network, "off": lambda image: _network(image) + 0.25, "empty": lambda image: _network(image) - 99},
        IMAGE,
        (16, 16, 16),
    )
    assert found["same"].max_logit_difference == 0
    assert found["same"].dice == {"tc": 1, "wt": 1, "et": 1}
    assert found["same"].fault("float32") is None
    assert found["off"].max_logit_difference == pytest.approx(0.25)
    reference, shifted = IMAGE >= 0, IMAGE + 0.25 >= 0
    expected = 2 * (reference & shifted).sum() / (reference.sum() + shifted.sum())
    assert found["off"].dice["tc"] == pytest.approx(float(expected), abs=1e-6)
    assert found["empty"].dice == {"tc": 0, "wt": 0, "et": 0}


def test_where_both_segment_nothing_they_agree() -> None:
    def nothing(image: torch.Tensor) -> torch.Tensor:
        return _network(image) - 99

    assert compare(nothing, {"same": nothing}, IMAGE, (16, 16, 16))["same"].dice == {"tc": 1, "wt": 1, "et": 1}


def test_time_is_a_ratio_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def taking(seconds: float) -> Callable[[torch.Tensor], torch.Tensor]:
        def predict(image: torch.Tensor) -> torch.Tensor:
            clock[0] += seconds
            return _network(image)

        return predict

    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    found = compare(taking(2.0), {"slower": taking(6.0)}, IMAGE, (16, 16, 16))
    assert found["slower"].time_ratio == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("precision", "difference", "dice", "words"),
    [
        ("float32", 9e-4, 0.9995, None),
        ("float32", 2e-3, 1.0, "a logit differs by 0.002, more than 0.001"),
        ("float32", float("nan"), 1.0, "a logit differs by nan"),
        ("float32", 0.0, 0.99, "the Dice of its ET with PyTorch's is 0.9900, less than 0.999"),
        ("bfloat16", 0.2, 0.996, None),
        ("bfloat16", 0.2, 0.99, "the Dice of its ET with PyTorch's is 0.9900, less than 0.995"),
        ("bfloat16", float("nan"), 1.0, "a logit differs by nan"),
    ],
)
def test_what_is_beyond_a_bound_is_a_fault(precision: str, difference: float, dice: float, words: str | None) -> None:
    fault = Comparison(difference, {"tc": 1.0, "wt": 1.0, "et": dice}, 1.0).fault(precision)
    assert fault is None if words is None else words in str(fault)
