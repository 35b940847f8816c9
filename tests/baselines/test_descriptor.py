from __future__ import annotations

import pytest
import torch
from torch import nn

from pkdr_monai.baselines import DescriptorHead
from pkdr_monai.networks import Distiller, PatchVNet


@pytest.mark.parametrize("shape", [(1, 3, 2, 2, 2), (4, 3, 5, 1, 2)])
def test_it_is_a_mean_two_layers_and_a_division_by_the_length(shape: tuple[int, ...]) -> None:
    head, feature = DescriptorHead(3, 5, 4), torch.randn(shape)
    first, second = head.layers[0], head.layers[2]
    for sample, descriptor in zip(feature, head(feature), strict=True):
        mean = torch.stack([channel.sum() / channel.numel() for channel in sample])
        hidden = (first.weight @ mean + first.bias).clamp_min(0)
        vector = second.weight @ hidden
        torch.testing.assert_close(descriptor, vector / vector.square().sum().sqrt())


def test_the_widths_are_those_of_the_public_code() -> None:
    shapes = {name: tuple(value.shape) for name, value in DescriptorHead(16).named_parameters()}
    assert shapes == {"layers.0.weight": (32, 16), "layers.0.bias": (32,), "layers.2.weight": (16, 32)}


def test_a_descriptor_of_nothing_is_finite() -> None:
    head = DescriptorHead(2)
    nn.init.constant_(head.layers[0].bias, -1.0)  # no hidden unit is on
    feature = torch.zeros(1, 2, 2, 2, 2, requires_grad=True)
    descriptor = head(feature)
    descriptor.sum().backward()
    assert not descriptor.any()
    assert feature.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_averaged_in_float32(dtype: torch.dtype) -> None:
    feature = torch.full((1, 2, 64, 64, 64), 100.0, dtype=dtype)  # its sum is beyond float16's
    descriptor = DescriptorHead(2)(feature)
    assert descriptor.dtype == torch.float32
    assert descriptor.norm().item() == pytest.approx(1, rel=1e-5)


def test_autocast_still_gives_unit_vectors_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        descriptor = DescriptorHead(2)(torch.rand(3, 2, 4, 4, 4))
    assert descriptor.dtype == torch.float32
    torch.testing.assert_close(descriptor.norm(dim=1), torch.ones(3))


def test_both_heads_learn_and_the_teacher_does_not() -> None:
    student, teacher = PatchVNet(1, init_filters=2), PatchVNet(4, init_filters=2)
    heads = DescriptorHead(2), DescriptorHead(2)
    outputs = ("logits", "decoder_feature")
    distiller = Distiller(student, teacher, [0], {"descriptor": heads[0]}, {"descriptor": heads[1]}, outputs)
    prediction = distiller(torch.randn(2, 4, 16, 16, 16))
    (prediction["student"]["descriptor"] * prediction["teacher"]["descriptor"]).sum().backward()
    assert all(parameter.grad is not None for head in heads for parameter in head.parameters())
    assert student.stem[0].weight.grad.any()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_width_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive, got 16, 0 and 16"):
        DescriptorHead(16, 0)
