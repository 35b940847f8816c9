from __future__ import annotations

import itertools
import math

import pytest
import torch

from pkdr_monai.losses import PatchKDLoss, PixelKDLoss


def equation_6(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """The paper's sum: region by region, the mean over all patches of the batch."""
    total = 0.0
    for c in range(student.shape[1]):
        pairs = list(zip(student[:, c].flatten().tolist(), teacher[:, c].flatten().tolist(), strict=True))
        for u_student, u_teacher in pairs:
            p, q = (1 / (1 + math.exp(-u / temperature)) for u in (u_student, u_teacher))
            total -= (q * math.log(p) + (1 - q) * math.log(1 - p)) / len(pairs)
    return total


def pair(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (4 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.requires_grad_(), teacher


@pytest.mark.parametrize("temperature", [1.0, 5.0])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1, 1), (2, 3, 2, 3, 1), (4, 2, 6, 8, 8)])
def test_it_is_equation_6(shape: tuple[int, ...], temperature: float) -> None:
    student, teacher = pair(shape)
    loss = PatchKDLoss(temperature)(student, teacher)
    assert loss.item() == pytest.approx(equation_6(student, teacher, temperature), rel=1e-9)


def test_it_is_pixel_distillation_at_the_temperature_of_patches() -> None:
    student, teacher = pair((2, 3, 2, 2, 2))
    assert torch.equal(PatchKDLoss()(student, teacher), PixelKDLoss(temperature=5.0)(student, teacher))


def test_gradients_are_right() -> None:
    student, teacher = pair((2, 3, 2, 1, 2))
    assert torch.autograd.gradcheck(lambda u: PatchKDLoss()(u, teacher), student)


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    teacher.requires_grad_()
    PatchKDLoss()(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_t_square_multiplies_by_the_squared_temperature() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    plain, scaled = PatchKDLoss()(student, teacher), PatchKDLoss(t_square=True)(student, teacher)
    torch.testing.assert_close(scaled, 25 * plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("one", "other"), list(itertools.product([1e4, -1e4], repeat=2)))
def test_low_precision_and_extreme_logits_stay_finite(dtype: torch.dtype, one: float, other: float) -> None:
    student = torch.full((1, 3, 2, 2, 2), one, dtype=dtype, requires_grad=True)
    loss = PatchKDLoss()(student, torch.full_like(student, other))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_a_negative_temperature_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"PatchKDLoss expects temperature to be a finite number above 0, but it is -5"
    ):
        PatchKDLoss(temperature=-5)


def test_heads_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"PatchKDLoss expects student and teacher of one shape"):
        PatchKDLoss()(torch.zeros(1, 3, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2))
