from __future__ import annotations

import itertools
import math

import pytest
import torch

from pkdr_monai.losses import DecoderHintLoss


def pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.to(dtype).requires_grad_(), teacher.to(dtype)


def by_loops(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """One minus the cosine, one voxel after the other."""
    batch, channels, *sides = student.shape
    total = 0.0
    for b, *voxel in itertools.product(range(batch), *map(range, sides)):
        s = [student[(b, c, *voxel)].item() for c in range(channels)]
        t = [teacher[(b, c, *voxel)].item() for c in range(channels)]
        lengths = math.sqrt(sum(x * x for x in s)) * math.sqrt(sum(x * x for x in t))
        total += 1 - sum(x * y for x, y in zip(s, t, strict=True)) / lengths
    return total / (batch * math.prod(sides))


@pytest.mark.parametrize("shape", [(1, 2, 2, 2, 2), (2, 5, 3, 1, 2), (3, 1, 2, 2, 1)])
def test_it_is_the_mean_of_one_minus_the_cosine(shape: tuple[int, ...]) -> None:
    student, teacher = pair(shape)
    assert DecoderHintLoss()(student, teacher).item() == pytest.approx(by_loops(student, teacher), rel=1e-9)


def test_gradients_are_right_and_none_reaches_the_teacher() -> None:
    student, teacher = pair((2, 3, 2, 1, 2))
    teacher.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: DecoderHintLoss()(z, teacher), student)
    DecoderHintLoss()(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_and_a_dead_feature_stay_finite(dtype: torch.dtype) -> None:
    student, teacher = pair((1, 4, 2, 2, 2), dtype)
    dead = torch.zeros_like(student).detach().requires_grad_()
    for feature in (student, dead):
        loss = DecoderHintLoss()(feature, teacher)
        loss.backward()
        assert loss.dtype == torch.float32
        assert loss.isfinite()
        assert feature.grad.isfinite().all()


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="DecoderHintLoss expects student and teacher of one shape"):
        DecoderHintLoss()(torch.zeros(1, 2, 2, 2, 2), torch.zeros(1, 3, 2, 2, 2))
