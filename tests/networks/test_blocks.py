"""The parts that networks and heads share, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pkdr_monai.errors import InputError
from pkdr_monai.networks import PatchSelectionHead, Projector
from pkdr_monai.networks.blocks import (
    CONVOLUTIONS,
    STRIDE,
    convolutions,
    crop_to,
    pad_to_stride,
    refuse_wrong_gradients,
    scaling,
)


def test_the_stride_is_that_of_the_levels() -> None:
    assert 2 ** (len(CONVOLUTIONS) - 1) == STRIDE


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_row_has_its_number_of_convolutions_and_keeps_the_sides(count: int) -> None:
    row = convolutions(2, 5, count)
    assert sum(isinstance(layer, nn.Conv3d) for layer in row) == count
    assert row(torch.zeros(1, 2, 4, 3, 2)).shape == (1, 5, 4, 3, 2)


@pytest.mark.parametrize(("convolution", "sides"), [(nn.Conv3d, (2, 3, 1)), (nn.ConvTranspose3d, (8, 12, 4))])
def test_a_step_halves_or_doubles_each_side(convolution: type, sides: tuple[int, ...]) -> None:
    assert scaling(convolution, 2, 3)(torch.zeros(1, 2, 4, 6, 2)).shape == (1, 3, *sides)


def test_padding_adds_zeros_at_the_end_and_cropping_takes_them_away() -> None:
    image = torch.rand(2, 3, 17, 16, 31)
    padded = pad_to_stride(image, 3, 16)
    assert padded.shape == (2, 3, 32, 16, 32)
    torch.testing.assert_close(padded.sum(), image.sum())
    assert torch.equal(crop_to(padded, image), image)


def test_an_image_that_fits_is_not_copied() -> None:
    image = torch.zeros(1, 1, 16, 32, 16)
    assert pad_to_stride(image, 1, 16) is image


@pytest.mark.parametrize("shape", [(1, 2, 16, 16, 16), (1, 1, 16, 15, 16), (1, 16, 16, 16)])
def test_unfit_images_are_refused_with_their_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 1, X, Y, Z\) with every side at least 16"):
        pad_to_stride(torch.zeros(shape), 1, 16)


def _changed_positions(head: torch.nn.Module, channels: int) -> int:
    embedding = torch.zeros(1, channels, 2, 3, 2)
    other = embedding.clone()
    other[0, :, 1, 2, 0] = 1.0
    difference = (head(embedding) - head(other)).abs().sum(1)
    return int((difference > 0).sum())


def test_a_patch_logit_depends_on_its_own_patch_alone() -> None:
    assert _changed_positions(PatchSelectionHead(8), 8) == 1


def test_a_projection_depends_on_its_own_patch_alone() -> None:
    torch.manual_seed(0)
    assert _changed_positions(Projector(8), 8) == 1


def test_the_projector_has_two_layers_of_the_stated_widths() -> None:
    shapes = [tuple(p.shape[:2]) for name, p in Projector(256).named_parameters() if name.endswith("weight")]
    assert shapes == [(256, 256), (128, 256)]


@pytest.mark.parametrize(("kernel_size", "side"), [(3, 32), (5, 64)])
def test_a_bottleneck_thinner_than_the_kernel_is_refused(kernel_size: int, side: int) -> None:
    network = nn.Identity().train()
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(InputError, match=rf"first side is under {side + 1} \(here {side}\)"):
            refuse_wrong_gradients(network, torch.zeros(1, 1, side, 16, 16), 16, kernel_size)
        refuse_wrong_gradients(network, torch.zeros(1, 1, side + 1, 16, 16), 16, kernel_size)


def test_inference_and_float32_are_right_with_any_size() -> None:
    image = torch.zeros(1, 1, 16, 16, 16)
    refuse_wrong_gradients(nn.Identity().train(), image, 16, 3)
    refuse_wrong_gradients(nn.Identity().eval(), image.bfloat16(), 16, 3)
    with torch.no_grad():
        refuse_wrong_gradients(nn.Identity().train(), image.bfloat16(), 16, 3)
