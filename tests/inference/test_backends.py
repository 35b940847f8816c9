"""A backend takes an image and returns logits, in the precision that the processor is fast in."""

from __future__ import annotations

import pytest
import torch

from pkdr_monai.inference.backends import TorchBackend, resolve_precision
from pkdr_monai.networks import PatchVNet

CPU = torch.device("cpu")


def test_float32_gives_the_networks_own_logits() -> None:
    torch.manual_seed(0)
    network = PatchVNet(2, init_filters=2).eval()
    image = torch.randn(1, 2, 32, 16, 16)
    logits = TorchBackend(network, "float32")(image)
    torch.testing.assert_close(logits, network(image), rtol=1e-4, atol=1e-5)
    assert logits.is_contiguous()


def test_bfloat16_stays_inside() -> None:
    torch.manual_seed(0)
    network = PatchVNet(1, init_filters=2).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    backend = TorchBackend(network, "bfloat16")
    logits = backend(image)
    assert (backend.precision, logits.dtype, image.dtype) == ("bfloat16", torch.float32, torch.float32)
    assert not torch.equal(logits, network(image))
    torch.testing.assert_close(logits, network(image), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_auto_asks_the_processor(native: bool, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert resolve_precision("auto", CPU) == precision


def test_the_network_itself_is_left_alone() -> None:
    network = PatchVNet(1, init_filters=2).eval()
    TorchBackend(network, "bfloat16")
    assert next(network.parameters()).dtype == torch.float32
    assert next(network.parameters()).requires_grad
