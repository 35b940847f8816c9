from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from monai.data import load_net_with_metadata

from pkdr_monai.inference.backends import OnnxBackend, OpenVinoBackend
from pkdr_monai.networks import PatchVNet
from pkdr_monai.packaging.exports import (
    BACKENDS,
    NEEDS,
    export_onnx,
    export_openvino,
    export_torchscript,
    missing_packages,
)


@pytest.fixture
def network() -> PatchVNet:
    torch.manual_seed(0)
    return PatchVNet(2, init_filters=2).eval()


def _close(export: Callable[[torch.Tensor], torch.Tensor], network: torch.nn.Module, *shape: int) -> None:
    image = torch.randn(1, 2, *shape)
    with torch.inference_mode():
        torch.testing.assert_close(export(image), network(image), rtol=1e-4, atol=1e-4)


def test_torchscript_gives_the_same_and_brings_metadata_and_config(network: PatchVNet, tmp_path: Path) -> None:
    export_torchscript(network, tmp_path / "model.ts", {"version": "1"}, {"modality": "t2"})
    _close(torch.jit.load(tmp_path / "model.ts"), network, 32, 16, 17)
    _, metadata, extra = load_net_with_metadata(str(tmp_path / "model.ts"), more_extra_files=["inference.json"])
    assert metadata == {"version": "1"}
    assert extra["inference.json"] == b'{"modality": "t2"}'
    with zipfile.ZipFile(tmp_path / "model.ts") as archive:
        assert {"model/extra/inference.json", "model/extra/metadata.json"} <= set(archive.namelist())  # MONAI Deploy


def test_torchscript_holds_no_path_of_this_machine(network: PatchVNet, tmp_path: Path) -> None:
    import pkdr_monai

    export_torchscript(network, tmp_path / "model.ts", {}, {})
    assert str(Path(pkdr_monai.__file__).parent).encode() not in (tmp_path / "model.ts").read_bytes()
    assert str(Path(torch.__file__).parent).encode() not in (tmp_path / "model.ts").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_packages("onnx")), reason="ONNX is not installed")
def test_onnx_and_openvino_give_the_same_at_any_size(network: PatchVNet, tmp_path: Path) -> None:
    export_onnx(network, tmp_path / "model.onnx")
    exports: list[Callable] = [OnnxBackend(tmp_path / "model.onnx")]
    if not missing_packages("openvino"):
        export_openvino(tmp_path / "model.onnx", tmp_path / "model.xml")
        exports.append(OpenVinoBackend(tmp_path / "model.xml"))
    for file in tmp_path.iterdir():
        assert b"/pkdr_monai/" not in file.read_bytes(), "a path of this machine"
    for export in exports:
        for shape in ((32, 16, 48), (33, 50, 47), (16, 40, 17)):
            _close(export, network, *shape)


def test_a_package_that_is_missing_is_named(torchscript_alone: None) -> None:
    assert missing_packages("torchscript") == []
    assert missing_packages("onnx") == ["a_package_that_is_nowhere"]


def test_every_backend_has_its_needs_and_its_files() -> None:
    assert set(NEEDS) == {*BACKENDS, "torch"}
