"""The network with the outline stream keeps the contract of a deployable network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.networks import Distiller, PatchVNet, fold_batch_norm, load_weights
from pkdr_monai.regularizers import BoundaryLoss, BoundaryVNet


@pytest.fixture
def network() -> BoundaryVNet:
    torch.manual_seed(0)
    return BoundaryVNet(4, init_filters=2).eval()


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 31, 33)])
def test_any_size_from_16_keeps_its_shape(network: BoundaryVNet, size: tuple[int, int, int]) -> None:
    features = network.features(torch.randn(1, 4, *size))
    shapes = {name: tuple(tensor.shape) for name, tensor in features.items()}
    assert shapes == {
        "logits": (1, 3, *size),
        "embedding": (1, network.embedding_channels, *(-(-side // 16) for side in size)),
        "decoder_feature": (1, network.feature_channels, *size),
        "boundary_logits": (1, 3, *size),
    }


def test_forward_and_features_agree(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 17, 16, 16)
    assert torch.equal(network(image), network.features(image)["logits"])


def test_the_segmentation_is_decoder_and_outline_fused(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 32, 16, 16)
    features = network.features(image)
    decoder = network.backbone(image)
    fused = network.fuse(torch.cat([decoder, features["boundary_logits"].sigmoid()], 1))
    torch.testing.assert_close(features["logits"], fused)


def test_a_gate_is_the_formula() -> None:
    gate = BoundaryVNet(1, init_filters=2).gates[-1]
    encoder, boundary = torch.randn(2, 1, 2, 4, 4, 4)
    narrow, single = gate.attention[0], gate.attention[2]
    attention = single(narrow(torch.cat([encoder, boundary], 1)).relu()).sigmoid()
    assert attention.shape == (1, 1, 4, 4, 4)
    torch.testing.assert_close(gate(encoder, boundary), attention * boundary)


def test_torchscript_gives_the_same_logits(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 33, 16, 20)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_folding_the_batch_norm_changes_nothing(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 16, 16, 32)
    expected = network(image)
    torch.testing.assert_close(fold_batch_norm(network)(image), expected, rtol=1e-4, atol=1e-5)


def test_every_parameter_trains_even_without_any_tumour(image: torch.Tensor) -> None:
    distiller = Distiller(BoundaryVNet(4, init_filters=2)).train()
    BoundaryLoss()(distiller(image), torch.zeros(2, 3, *image.shape[2:])).backward()
    assert [name for name, p in distiller.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_edge_term_teaches_the_encoder_and_not_the_decoder(image: torch.Tensor) -> None:
    network = BoundaryVNet(4, init_filters=2).train()
    network.features(image)["boundary_logits"].square().sum().backward()
    assert network.backbone.stem[0].weight.grad.any()
    assert all(parameter.grad is None for parameter in network.backbone.up.parameters())


def test_its_weights_are_a_deployable_checkpoint(network: BoundaryVNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    again = load_weights(BoundaryVNet(4, init_filters=2), tmp_path / "model.pt").eval()
    image = torch.randn(1, 4, 16, 16, 16)
    assert torch.equal(again(image), network(image))


def test_its_weights_are_not_mistaken_for_a_plain_networks(network: BoundaryVNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="written by another network"):
        load_weights(PatchVNet(4, init_filters=2), tmp_path / "model.pt")


def test_the_parameters_it_adds_are_the_documented_16_per_cent() -> None:
    plain, ours = (sum(p.numel() for p in net.parameters()) for net in (PatchVNet(4), BoundaryVNet(4)))
    assert round(100 * (ours / plain - 1)) == 16


def test_unfit_images_and_channels_are_refused(network: BoundaryVNet) -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 4, X, Y, Z\)"):
        network(torch.zeros(1, 1, 16, 16, 16))
    with pytest.raises(ValueError, match="must be positive, got 4, 3 and 0"):
        BoundaryVNet(4, init_filters=0)


def test_bfloat16_training_on_thin_crops_is_refused_on_the_cpu(network: BoundaryVNet) -> None:
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(InputError, match="wrong gradients"):
        network.train().features(torch.zeros(2, 4, 32, 16, 16))
