"""An encoder describes one modality at four resolutions; a decoder comes back from there."""

from __future__ import annotations

import torch

from pkdr_monai.baselines.uhved import LEVELS, LatentDecoder, ModalityEncoder


def codes(init_filters: int, side: int = 16) -> list[torch.Tensor]:
    return [torch.randn(2, init_filters * 2**level // 2, *[side // 2**level] * 3) for level in range(LEVELS)]


def test_an_encoder_doubles_its_channels_and_halves_its_sides() -> None:
    shapes = [tuple(code.shape) for code in ModalityEncoder(4)(torch.zeros(2, 1, 16, 24, 32))]
    assert shapes == [(2, 4, 16, 24, 32), (2, 8, 8, 12, 16), (2, 16, 4, 6, 8), (2, 32, 2, 3, 4)]


def test_the_widths_are_the_originals() -> None:
    encoder = [layer for layer in ModalityEncoder().modules() if isinstance(layer, torch.nn.Conv3d)]
    assert [layer.out_channels for layer in encoder] == [8, 8, 8, 16, 16, 32, 32, 64, 64]
    decoder = [layer for layer in LatentDecoder(3).modules() if isinstance(layer, torch.nn.Conv3d)]
    assert [(layer.in_channels, layer.out_channels) for layer in decoder] == [
        *[(48, 32), (32, 16)],
        *[(24, 16), (16, 8)],
        *[(12, 8), (8, 4)],
        (4, 3),
    ]


def test_codes_are_the_output_of_a_convolution_and_take_any_sign() -> None:
    """Means and log-variances must not be rectified."""
    for code in ModalityEncoder(4)(torch.randn(1, 1, 16, 16, 16)):
        assert code.min() < 0 < code.max()


def test_a_decoder_reads_every_level() -> None:
    levels = [code.requires_grad_() for code in codes(4)]
    LatentDecoder(3, 4)(levels).square().sum().backward()
    assert all(bool(code.grad.any()) for code in levels)


def test_a_decoder_keeps_the_finest_shape() -> None:
    assert LatentDecoder(1, 4)(codes(4, side=32)).shape == (2, 1, 32, 32, 32)


def test_samples_of_a_batch_do_not_mix() -> None:
    """One image's codes are the same whatever else is in the batch, in training too."""
    encoder, image = ModalityEncoder(4).train(), torch.randn(2, 1, 16, 16, 16)
    for both, alone in zip(encoder(image), encoder(image[:1]), strict=True):
        torch.testing.assert_close(both[:1], alone)
