"""OpenVINO computes what the network computes, from the exported files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pkdr_monai.inference.backends import OpenVinoBackend
from pkdr_monai.networks import PatchVNet
from pkdr_monai.packaging import export_onnx, export_openvino
from pkdr_monai.packaging.exports import missing_packages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_packages("openvino")), reason="OpenVINO is not installed"),
]


def test_it_gives_the_networks_logits_and_keeps_each_answer_apart(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = PatchVNet(1, init_filters=2).eval()
    export_onnx(network, tmp_path / "model.onnx")
    export_openvino(tmp_path / "model.onnx", tmp_path / "model.xml")
    images = torch.randn(2, 1, 1, 32, 16, 48)
    with torch.inference_mode():
        expected = [network(image) for image in images]
    backend = OpenVinoBackend(tmp_path / "model.xml")
    first, second = (backend(image) for image in images)
    torch.testing.assert_close(first, expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second, expected[1], rtol=1e-4, atol=1e-4)
