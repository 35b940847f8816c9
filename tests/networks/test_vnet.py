"""The network of the paper's lineage: its size, its shapes, its outputs for training and its refusals."""

from __future__ import annotations

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.losses import patch_labels
from pkdr_monai.networks import PatchVNet


def test_default_has_the_published_number_of_parameters() -> None:
    assert round(sum(p.numel() for p in PatchVNet(4).parameters()) / 1e6, 2) == 9.45


@pytest.mark.parametrize("in_channels", [1, 2, 3, 4])
def test_any_number_of_modalities_is_taken(in_channels: int) -> None:
    network = PatchVNet(in_channels, init_filters=2).eval()
    assert network(torch.zeros(2, in_channels, 16, 16, 32)).shape == (2, 3, 16, 16, 32)


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 31, 33), (40, 23, 16)])
def test_any_size_from_16_keeps_its_shape(size: tuple[int, int, int]) -> None:
    network = PatchVNet(1, init_filters=2, patch_head=True).eval()
    features = network.features(torch.randn(1, 1, *size))
    patches = [-(-side // 16) for side in size]
    assert features["logits"].shape == (1, 3, *size)
    assert features["decoder_feature"].shape == (1, 2, *size)
    assert features["embedding"].shape == (1, 32, *patches)
    assert features["patch_logits"].shape == (1, 3, *patches)


def test_padding_at_the_end_does_not_move_the_image() -> None:
    network = PatchVNet(1, init_filters=2).eval()
    image = torch.randn(1, 1, 24, 16, 16)
    padded = torch.nn.functional.pad(image, [0, 0, 0, 0, 0, 8])
    torch.testing.assert_close(network(image), network(padded)[:, :, :24])


def test_forward_and_features_agree() -> None:
    network = PatchVNet(1, init_filters=2).eval()
    image = torch.randn(1, 1, 32, 16, 16)
    torch.testing.assert_close(network(image), network.features(image)["logits"])


def test_logits_are_the_output_convolution_of_the_decoder_feature() -> None:
    network = PatchVNet(1, init_filters=2).eval()
    features = network.features(torch.randn(1, 1, 17, 16, 16))
    torch.testing.assert_close(network.output(features["decoder_feature"]), features["logits"])


@pytest.mark.parametrize("patch_head", [False, True])
def test_torchscript_gives_the_same_logits(patch_head: bool) -> None:
    network = PatchVNet(3, init_filters=2, patch_head=patch_head).eval()
    image = torch.randn(1, 3, 33, 16, 20)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_the_bottleneck_sees_one_patch_a_voxel() -> None:
    """A constant network has no say in positions; strides alone tie a bottleneck voxel to its patch."""
    network = PatchVNet(1, init_filters=2).eval()
    assert network.encode(torch.zeros(1, 1, 96, 128, 128))[-1].shape[2:] == (6, 8, 8)


@pytest.mark.parametrize("shape", [(1, 2, 16, 16, 16), (1, 1, 16, 15, 16), (1, 16, 16, 16)])
def test_unfit_images_are_refused_with_their_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 1, X, Y, Z\)") as refusal:
        PatchVNet(1, init_filters=2)(torch.zeros(shape))
    assert str(list(shape)) in str(refusal.value)


def test_channel_counts_must_be_positive() -> None:
    with pytest.raises(ValueError, match="must be positive, got 0, 3 and 16"):
        PatchVNet(0)


def test_bfloat16_training_on_thin_crops_is_refused_on_the_cpu() -> None:
    network = PatchVNet(1, init_filters=2).train()
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(InputError, match="wrong gradients"):
            network.features(torch.zeros(2, 1, 32, 16, 16))
        network.features(torch.zeros(2, 1, 48, 16, 16))
        network.eval().features(torch.zeros(2, 1, 32, 16, 16))


@pytest.mark.parametrize(("patch_size", "channels"), [(16, 32), (8, 16), (4, 8)])
@pytest.mark.parametrize("size", [(32, 16, 48), (17, 24, 40)])
def test_the_patch_size_decides_where_the_embedding_is_taken(
    size: tuple[int, int, int], patch_size: int, channels: int
) -> None:
    network = PatchVNet(1, init_filters=2, patch_head=True, patch_size=patch_size).eval()
    image = torch.randn(1, 1, *size)
    features = network.features(image)
    assert network.embedding_channels == channels
    assert features["embedding"].shape == (1, channels, *(-(-side // patch_size) for side in size))
    assert features["patch_logits"].shape[2:] == patch_labels(image, patch_size).shape[2:]


def test_the_patch_size_does_not_change_the_segmentation() -> None:
    coarse, fine = PatchVNet(1, init_filters=2).eval(), PatchVNet(1, init_filters=2, patch_size=8).eval()
    fine.load_state_dict(coarse.state_dict())
    image = torch.randn(1, 1, 16, 32, 16)
    assert torch.equal(fine(image), coarse(image))
    assert torch.equal(fine.features(image)["logits"], coarse(image))


def test_an_embedding_above_the_bottleneck_is_that_level_of_the_encoder() -> None:
    network = PatchVNet(1, init_filters=2, patch_size=8).eval()
    image = torch.randn(1, 1, 16, 32, 16)
    assert torch.equal(network.features(image)["embedding"], network.encode(image)[3])


@pytest.mark.parametrize("patch_size", [0, 12, 32])
def test_a_patch_size_that_is_the_stride_of_no_level_is_refused(patch_size: int) -> None:
    with pytest.raises(ValueError, match=f"patch_size must be one of 1, 2, 4, 8, 16, got {patch_size}"):
        PatchVNet(1, patch_size=patch_size)


def test_instance_norm_gives_each_image_the_same_whoever_is_beside_it() -> None:
    torch.manual_seed(0)
    network = PatchVNet(1, init_filters=2, norm="instance").train()
    image, other = torch.randn(2, 1, 1, 32, 32, 16).unbind()
    together = network(torch.cat([image, 5 * other]))[:1]
    torch.testing.assert_close(together, network(image), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.eval()(image), network.train()(image))  # no running statistics


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="batch or instance"):
        PatchVNet(1, norm="group")


def test_instance_norm_takes_an_image_of_one_patch() -> None:
    network = PatchVNet(1, init_filters=2, norm="instance").eval()
    assert torch.isfinite(network(torch.randn(1, 1, 16, 16, 16))).all()
