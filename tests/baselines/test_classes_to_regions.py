from __future__ import annotations

import pytest
import torch
from torch import nn

from pkdr_monai.baselines import ClassesToRegions
from pkdr_monai.baselines.softmax import regions_to_classes
from pkdr_monai.networks import Distiller, PatchVNet, fold_batch_norm

from .conftest import regions


def network() -> ClassesToRegions:
    return ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2))


def test_the_sigmoid_is_the_sum_of_the_class_probabilities() -> None:
    logits = 3 * torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    _, ncr, ed, et = logits.softmax(1).unbind(1)
    expected = torch.stack([ncr + et, ncr + ed + et, et], 1)
    torch.testing.assert_close(ClassesToRegions(nn.Identity())(logits).sigmoid(), expected)


def test_confident_classes_give_back_their_regions() -> None:
    label = regions((2, 3, 2, 2))
    one_hot = torch.stack([regions_to_classes(label) == c for c in range(4)], 1)
    assert torch.equal((ClassesToRegions(nn.Identity())(20.0 * one_hot) > 0).double(), label)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_and_extreme_logits_stay_finite(dtype: torch.dtype) -> None:
    logits = torch.tensor([6e4, -6e4, 0.0, 1.0]).reshape(1, 4, 1, 1, 1).to(dtype)
    output = ClassesToRegions(nn.Identity())(logits)
    assert output.dtype == torch.float32
    assert output.isfinite().all()


def test_deployed_it_has_regions_and_in_training_classes() -> None:
    image = torch.zeros(2, 4, 20, 16, 16)
    distiller = Distiller(network(), channels=[2])
    prediction = distiller(image)
    assert prediction["student"]["logits"].shape == (2, 4, 20, 16, 16)
    assert prediction["student"]["decoder_feature"].shape == (2, 2, 20, 16, 16)
    assert distiller.student(image[:, :1]).shape == (2, 3, 20, 16, 16)


def test_it_can_be_scripted_and_its_batch_norm_folded() -> None:
    plain, image = network().eval(), torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(torch.jit.script(plain)(image), plain(image))
    expected = plain(image)
    torch.testing.assert_close(fold_batch_norm(plain)(image), expected, rtol=1e-4, atol=1e-4)
