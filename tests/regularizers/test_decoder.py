"""The decoder without skips."""

from __future__ import annotations

import pytest
import torch

from pkdr_monai.networks import PatchVNet
from pkdr_monai.regularizers.vae import SkiplessDecoder


@pytest.mark.parametrize("size", [(16, 32, 16), (17, 24, 31)])
def test_it_draws_an_image_of_the_crops_size(size: tuple[int, int, int]) -> None:
    image = torch.zeros(2, 4, *size)
    embedding = torch.randn(2, 32, *(-(-side // 16) for side in size))
    assert SkiplessDecoder(32, 5)(embedding, image).shape == (2, 5, *size)


def test_its_steps_are_those_of_the_segmentation_decoder() -> None:
    segmentation = PatchVNet(4, init_filters=2)
    decoder = SkiplessDecoder(segmentation.embedding_channels, 3)
    expected = [*segmentation.up.parameters(), *segmentation.merge.parameters(), *segmentation.output.parameters()]
    shapes = sorted(tuple(parameter.shape) for parameter in decoder.parameters())
    assert shapes == sorted(tuple(parameter.shape) for parameter in expected)


def test_it_sees_the_embedding_alone() -> None:
    decoder = SkiplessDecoder(16, 1).eval()
    embedding = torch.randn(1, 16, 1, 1, 1)
    drawn = [decoder(embedding, image) for image in (torch.zeros(1, 1, 16, 16, 16), torch.ones(1, 1, 16, 16, 16))]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("in_channels", [0, 8, 24])
def test_channels_that_cannot_be_halved_four_times_are_refused(in_channels: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 16, got {in_channels}"):
        SkiplessDecoder(in_channels, 1)
