"""One network for every subset: what is absent is zero, channels keep their places, and each sample draws its own."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES, channel_indices
from pkdr_monai.networks import AnySubsetVNet, Distiller, PatchVNet, load_weights
from pkdr_monai.networks.any_subset import draw_subset, draw_subsets

SUBSETS = [subset for size in range(1, 5) for subset in itertools.combinations(MODALITIES, size)]


@pytest.fixture(scope="module")
def whole() -> AnySubsetVNet:
    torch.manual_seed(0)
    network = AnySubsetVNet(init_filters=2)
    network.train()(torch.randn(2, 4, 32, 32, 32))  # batch norm that differs from its start
    return network.eval()


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_an_absent_modality_and_one_that_was_never_given_are_the_same(whole: AnySubsetVNet, subset) -> None:
    image, channels = torch.randn(1, 4, 32, 32, 32), list(channel_indices(subset))
    zeroed = torch.zeros_like(image)
    zeroed[:, channels] = image[:, channels]
    alone = AnySubsetVNet(subset, init_filters=2).eval()
    alone.load_state_dict(whole.state_dict())
    torch.testing.assert_close(alone(image[:, channels]), whole(zeroed), rtol=0, atol=0)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_a_network_without_the_absent_channels_computes_the_same(whole: AnySubsetVNet, subset, tmp_path) -> None:
    torch.save(whole.state_dict(), tmp_path / "model.pt")
    channels = list(channel_indices(subset))
    narrow = PatchVNet(len(subset), init_filters=2, norm="instance")
    load_weights(narrow, tmp_path / "model.pt", channels).eval()
    image = torch.randn(1, len(subset), 32, 32, 32)
    zeroed = torch.zeros(1, 4, 32, 32, 32)
    zeroed[:, channels] = image
    torch.testing.assert_close(narrow(image), whole(zeroed), rtol=1e-5, atol=1e-5)


def test_channels_cannot_be_mixed_up(whole: AnySubsetVNet) -> None:
    image = torch.randn(1, 1, 32, 32, 32)
    outputs = []
    for modality in MODALITIES:
        network = AnySubsetVNet([modality], init_filters=2).eval()
        network.load_state_dict(whole.state_dict())
        outputs.append(network(image))
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(outputs, 2))
    assert AnySubsetVNet(["flair", "t1"], init_filters=2).available == ("t1", "flair")  # the project's own order


def test_other_channels_are_refused(whole: AnySubsetVNet) -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 4, X, Y, Z\)"):
        whole(torch.zeros(1, 1, 32, 32, 32))
    with pytest.raises(ValueError, match="expected 4 channels, t1, t1ce, t2, flair"):
        whole.features(torch.zeros(1, 1, 32, 32, 32))
    with pytest.raises(InputError, match="not among"):
        AnySubsetVNet(["t1"], modalities=["t2", "flair"])


def test_training_shows_each_sample_a_subset_of_its_own() -> None:
    torch.manual_seed(0)
    there = torch.ones(400, 4, dtype=torch.bool)
    kept = draw_subsets(there)
    assert kept.any(1).all()
    assert len({tuple(row) for row in kept.tolist()}) == 15
    sizes = Counter(kept.sum(1).tolist())
    assert all(70 <= sizes[size] <= 130 for size in (1, 2, 3, 4))  # each size a quarter of the draws


def test_a_case_that_lacks_a_modality_serves_with_what_it_has() -> None:
    there = torch.tensor([[True, False, True, False], [False, False, False, False]]).repeat(50, 1)
    kept = draw_subsets(there)
    assert not (kept & ~there).any()
    assert kept[::2].any(1).all()
    assert not kept[1::2].any()


def test_dropped_modalities_do_not_reach_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    network = AnySubsetVNet(init_filters=2).train()
    monkeypatch.setattr(
        "pkdr_monai.networks.any_subset.draw_subset", lambda count, share: [index == 2 for index in range(count)]
    )
    image = torch.randn(2, 4, 32, 32, 32)
    other = torch.randn(2, 4, 32, 32, 32)
    other[:, 2] = image[:, 2]
    torch.testing.assert_close(network.features(image)["logits"], network.features(other)["logits"])


def test_without_dropout_training_sees_all_that_is_available() -> None:
    network = AnySubsetVNet(init_filters=2, modality_dropout=False).eval()
    image = torch.randn(1, 4, 32, 32, 32)
    torch.testing.assert_close(network.features(image)["logits"], network(image))


def test_the_teacher_sees_all_that_the_student_does_not() -> None:
    student, teacher = AnySubsetVNet(init_filters=2), PatchVNet(4, init_filters=2, patch_head=True)
    image = torch.randn(2, 4, 32, 32, 32)
    prediction = Distiller(student, teacher)(image)
    torch.testing.assert_close(prediction["teacher"]["logits"], teacher(image))


def test_a_drawn_subset_is_never_empty() -> None:
    assert all(any(draw_subset(count)) for count in (1, 2, 3, 4) for _ in range(50))


def test_it_is_scriptable(whole: AnySubsetVNet) -> None:
    network = AnySubsetVNet(["t2", "flair"], init_filters=2).eval()
    network.load_state_dict(whole.state_dict())
    image = torch.randn(1, 2, 20, 32, 17)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_single_modalities_are_drawn_as_often_as_asked(share: float) -> None:
    torch.manual_seed(0)
    kept = draw_subsets(torch.ones(2000, 4, dtype=torch.bool), share)
    single = kept.sum(dim=1) == 1
    assert float(single.float().mean()) == pytest.approx(share, abs=0.04)
    assert bool(kept.any(dim=1).all())
    if share:
        each = kept[single].float().mean(dim=0)
        torch.testing.assert_close(each, torch.full((4,), 0.25), atol=0.05, rtol=0)


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="single_share is a probability"):
        AnySubsetVNet(init_filters=2, single_share=1.5)
