"""One network segments from any subset of the modalities, and learns from random ones."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch

from pkdr_monai.baselines import UHVED, UHVEDLoss
from pkdr_monai.baselines.uhved import LEVELS, LatentDecoder, ModalityEncoder, product_of_gaussians
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES, channel_indices
from pkdr_monai.networks.any_subset import draw_subset

SUBSETS = [subset for size in range(1, 5) for subset in itertools.combinations(MODALITIES, size)]
IMAGE = torch.randn(1, 4, 16, 16, 16, generator=torch.Generator().manual_seed(0))


def trained(**settings: object) -> UHVED:
    torch.manual_seed(0)
    return UHVED(init_filters=2, **settings)  # type: ignore[arg-type]


def given(network: UHVED, *subset: str) -> UHVED:
    """The same weights, at a hospital that has fewer modalities."""
    other = UHVED(subset, init_filters=2).eval()
    other.load_state_dict(network.state_dict())
    return other


def test_the_default_has_five_quarters_of_a_million_parameters() -> None:
    assert sum(parameter.numel() for parameter in UHVED().parameters()) == 1_250_555


@pytest.mark.parametrize("subset", SUBSETS)
def test_one_state_dict_segments_from_each_of_the_15_subsets(subset: tuple[str, ...]) -> None:
    network = given(trained(), *subset)
    logits = network(IMAGE[:, list(channel_indices(subset))])
    assert logits.shape == (1, 3, 16, 16, 16)
    assert network.in_channels == len(subset)
    torch.testing.assert_close(logits, network.features(IMAGE)["logits"])


def test_the_answer_depends_on_every_modality_at_hand_and_on_no_other() -> None:
    network = given(trained(), "t1", "flair")
    before = network.features(IMAGE)["logits"]
    for channel, matters in enumerate([True, False, False, True]):
        other = IMAGE.clone()
        other[:, channel] += torch.randn(16, 16, 16)
        assert torch.equal(network.features(other)["logits"], before) != matters, channel


def test_channels_come_in_the_projects_order_whatever_the_user_says() -> None:
    assert UHVED(["FLAIR", "t1"], init_filters=2).available == ("t1", "flair")


def test_the_codes_are_the_products_of_the_modalities_at_hand() -> None:
    """The whole path again, one modality and level at a time."""
    network = given(trained(), "t1ce", "t2")
    codes = [network.encoders[name](IMAGE[:, [MODALITIES.index(name)]]) for name in ("t1ce", "t2")]
    means = [product_of_gaussians([code[level] for code in codes])[0] for level in range(4)]
    torch.testing.assert_close(network(IMAGE[:, 1:3]), network.segmentation(means))


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 31, 33)])
def test_any_size_from_16_keeps_its_shape(size: tuple[int, int, int]) -> None:
    features = trained().features(torch.randn(1, 4, *size))
    padded = [-(-side // 16) * 16 for side in size]
    assert features["logits"].shape == (1, 3, *size)
    assert features["reconstruction"].shape == (1, 4, *size)
    for level in range(4):
        shape = features[f"posterior.{level}"].shape
        assert shape == (1, 4, 2 * 2**level, *(side // 2**level for side in padded))


def test_segmenting_uses_means_and_gives_one_answer() -> None:
    network = given(trained(), "t2")
    assert torch.equal(network(IMAGE[:, 2:3]), network(IMAGE[:, 2:3]))
    assert torch.equal(network.features(IMAGE)["reconstruction"], network.features(IMAGE)["reconstruction"])


def test_training_samples_the_codes_around_the_means() -> None:
    network = trained(modality_dropout=False).train()
    assert not torch.equal(network.features(IMAGE)["logits"], network.features(IMAGE)["logits"])
    torch.manual_seed(1)
    belief = torch.tensor([0.5, -1.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 40, 50, 50)
    sample = network._code([belief])
    mean, variance = product_of_gaussians([belief[..., :1, :1, :1]])
    assert float(sample.mean()) == pytest.approx(float(mean), abs=0.01)
    assert float(sample.var()) == pytest.approx(float(variance), rel=0.02)


def test_the_global_generator_alone_decides_what_a_step_draws() -> None:
    network = trained().train()
    runs = []
    for _ in range(2):
        torch.manual_seed(7)
        runs.append([network.features(IMAGE) for _ in range(3)])
    for first, second in zip(*runs, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_sizes_are_drawn_uniformly_and_so_are_the_subsets_of_a_size() -> None:
    torch.manual_seed(0)
    draws = Counter(tuple(draw_subset(4)) for _ in range(6000))
    assert len(draws) == 15
    for subset, count in draws.items():
        expected = 6000 / 4 / math.comb(4, sum(subset))
        assert abs(count - expected) < 4.5 * math.sqrt(expected), subset


def test_training_draws_a_subset_and_the_control_keeps_its_own() -> None:
    network = trained().train()
    assert len({tuple(network.features(IMAGE)["subset"].tolist()) for _ in range(12)}) > 2
    control = UHVED(["t2"], init_filters=2, modality_dropout=False).train()
    assert {tuple(control.features(IMAGE)["subset"].tolist()) for _ in range(4)} == {(False, False, True, False)}
    assert network.eval().features(IMAGE)["subset"].all()


@pytest.mark.parametrize("name", MODALITIES)
def test_a_missing_modality_is_redrawn_from_the_others(name: str) -> None:
    others = [modality for modality in MODALITIES if modality != name]
    network = given(trained(), *others)
    network.features(IMAGE)["reconstruction"][:, MODALITIES.index(name)].square().sum().backward()
    assert next(network.reconstruction[name].parameters()).grad.any()
    assert next(network.encoders[name].parameters()).grad is None
    assert all(next(network.encoders[other].parameters()).grad.any() for other in others)


@pytest.mark.parametrize("subset", [("t1ce",), ("t1", "flair"), MODALITIES])
def test_torchscript_gives_the_same_logits(subset: tuple[str, ...]) -> None:
    network = given(trained(), *subset)
    image = torch.randn(1, len(subset), 17, 16, 20)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_bfloat16_autocast_stays_finite_and_close() -> None:
    network, image = trained().train(), torch.randn(1, 4, 32, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        features = network.features(image)
        loss = UHVEDLoss()({"student": {**features, "image": image}}, torch.ones(1, 3, 32, 16, 16))
    loss.backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in network.parameters())
    network.eval()
    with torch.autocast("cpu", torch.bfloat16):
        low = network(image).float()
    exact = network(image)
    torch.testing.assert_close(low / exact.abs().max(), exact / exact.abs().max(), rtol=0, atol=0.1)


def test_bfloat16_training_on_thin_crops_is_refused_on_the_cpu() -> None:
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(InputError, match="wrong gradients"):
        trained().train().features(IMAGE)


@pytest.mark.parametrize("shape", [(1, 2, 16, 16, 16), (1, 1, 16, 15, 16), (1, 16, 16, 16)])
def test_unfit_images_are_refused_with_their_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 1, X, Y, Z\)") as refusal:
        UHVED(["t2"], init_filters=2)(torch.zeros(shape))
    assert str(list(shape)) in str(refusal.value)


def test_training_wants_every_modality() -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 4, X, Y, Z\)"):
        UHVED(["t2"], init_filters=2).features(IMAGE[:, 2:3])


@pytest.mark.parametrize("settings", [{"out_channels": 0}, {"init_filters": 0}, {"init_filters": 3}])
def test_channel_counts_must_fit(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="init_filters positive and even"):
        UHVED(**settings)


def test_a_modality_that_was_never_trained_is_refused() -> None:
    with pytest.raises(InputError, match="'t2' is not among the image's channels t1, flair"):
        UHVED(["t2"], modalities=["t1", "flair"], init_filters=2)
    with pytest.raises(InputError, match="unknown modality 'ct'"):
        UHVED(["ct"], init_filters=2)


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
