"""MONAI's V-Net keeps the contract of the networks here, and stays MONAI's."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import VNet

from pkdr_monai.errors import InputError
from pkdr_monai.networks import MonaiVNet


@pytest.fixture(scope="module")
def network() -> MonaiVNet:
    torch.manual_seed(0)
    return MonaiVNet(3, patch_head=True).eval()


@pytest.mark.parametrize("in_channels", [1, 2, 4])
def test_it_is_monais_network_where_monai_takes_the_modalities(in_channels: int) -> None:
    network, monai = MonaiVNet(in_channels).eval(), VNet(in_channels=in_channels, out_channels=3).eval()
    monai.load_state_dict(network.vnet.state_dict())
    image = torch.randn(1, in_channels, 16, 16, 16)
    assert torch.equal(network(image), monai(image))


def test_three_modalities_get_a_fourth_channel_of_zeros(network: MonaiVNet) -> None:
    image = torch.randn(1, 3, 16, 16, 16)
    four = torch.cat([image, torch.zeros(1, 1, 16, 16, 16)], dim=1)
    assert torch.equal(network(image), network.vnet(four))


def test_forward_and_features_agree_and_any_size_keeps_its_shape(network: MonaiVNet) -> None:
    image = torch.randn(2, 3, 17, 16, 20)
    features = network.features(image)
    assert torch.equal(network(image), features["logits"])
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in features.items()}
    assert shapes == {
        "logits": (3, 17, 16, 20),
        "embedding": (network.embedding_channels, 2, 1, 2),
        "decoder_feature": (network.feature_channels, 17, 16, 20),
        "patch_logits": (3, 2, 1, 2),
    }


def test_every_parameter_gets_a_gradient() -> None:
    network = MonaiVNet(1, patch_head=True).train()
    features = network.features(torch.randn(2, 1, 16, 16, 32))
    torch.stack([tensor.square().mean() for tensor in features.values()]).sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_torchscript_gives_the_same_logits(network: MonaiVNet) -> None:
    image = torch.randn(1, 3, 17, 16, 16)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_without_a_patch_head_there_are_no_patch_logits() -> None:
    assert "patch_logits" not in MonaiVNet(1).eval().features(torch.zeros(1, 1, 16, 16, 16))


def test_unfit_images_are_refused_with_their_shape(network: MonaiVNet) -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 3, X, Y, Z\).*got \[1, 4, 16, 16, 16\]"):
        network(torch.zeros(1, 4, 16, 16, 16))


@pytest.mark.parametrize(("in_channels", "out_channels"), [(0, 3), (17, 3), (1, 0)])
def test_channel_counts_out_of_range_are_refused(in_channels: int, out_channels: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 16 in_channels .* got {in_channels} and {out_channels}"):
        MonaiVNet(in_channels, out_channels)


def test_bfloat16_training_on_thin_crops_is_refused_on_the_cpu() -> None:
    network = MonaiVNet(1).train()
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(InputError, match="under 65"):
        network.features(torch.zeros(2, 1, 64, 16, 16))
