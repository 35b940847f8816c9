"""ONNX Runtime computes what the network computes, from the exported file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pkdr_monai.inference.backends import OnnxBackend
from pkdr_monai.networks import PatchVNet
from pkdr_monai.packaging import export_onnx
from pkdr_monai.packaging.exports import missing_packages

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing_packages("onnx")), reason="ONNX is not installed"),
]


def test_it_gives_the_networks_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = PatchVNet(1, init_filters=2).eval()
    export_onnx(network, tmp_path / "model.onnx")
    image = torch.randn(1, 1, 32, 16, 48)
    logits = OnnxBackend(tmp_path / "model.onnx")(image)
    assert logits.dtype == torch.float32
    with torch.inference_mode():
        torch.testing.assert_close(logits, network(image), rtol=1e-4, atol=1e-4)
