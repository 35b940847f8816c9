from __future__ import annotations

import pytest
import torch

from pkdr_monai.losses import patch_contrastive as negatives
from pkdr_monai.losses.patch_contrastive import negative_logsumexp

COUNTS = [(1, 5), (0, 3), (6, 12), (11, 12), (4, 4), (2, 7)]  # of the foreground in either volume of 12 patches


def example(counts: tuple[int, int], width: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(2, width, 12, generator=generator, dtype=torch.float64) for _ in range(2))
    foreground = torch.stack([torch.randperm(12, generator=generator) < count for count in counts])
    return student.requires_grad_(), teacher.requires_grad_(), foreground


def masked(student: torch.Tensor, teacher: torch.Tensor, foreground: torch.Tensor, temperature: float) -> torch.Tensor:
    similarity = student.transpose(1, 2) @ teacher / temperature
    other_class = foreground[:, :, None] != foreground[:, None, :]
    return similarity.masked_fill(~other_class, -torch.inf).logsumexp(2)


@pytest.mark.parametrize("chunk", [1, 7, 8, 1000])
@pytest.mark.parametrize("counts", COUNTS)
def test_the_pieces_equal_the_masked_matrix(
    monkeypatch: pytest.MonkeyPatch, counts: tuple[int, int], chunk: int
) -> None:
    monkeypatch.setattr(negatives, "CPU_CHUNK", chunk)
    student, teacher, foreground = example(counts)
    result, expected = (form(student, teacher, foreground, 0.2) for form in (negative_logsumexp, masked))
    torch.testing.assert_close(result, expected)
    weight = torch.where(expected.isfinite(), torch.arange(24.0).reshape(2, 12), 0.0)
    torch.testing.assert_close(
        torch.autograd.grad((result.nan_to_num(neginf=0.0) * weight).sum(), (student, teacher)),
        torch.autograd.grad((expected.nan_to_num(neginf=0.0) * weight).sum(), (student, teacher)),
    )


@pytest.mark.parametrize("chunk", [5, 1000])
def test_gradients_are_right(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(negatives, "CPU_CHUNK", chunk)
    student, teacher, foreground = example((2, 7))
    assert torch.autograd.gradcheck(lambda s, t: negative_logsumexp(s, t, foreground, 0.5), (student, teacher))


def test_a_volume_of_one_class_sums_to_nothing_and_pulls_at_nothing() -> None:
    student, teacher, foreground = example((0, 12))
    result = negative_logsumexp(student, teacher, foreground, 0.1)
    assert (result == -torch.inf).all()
    gradients = torch.autograd.grad(result.exp().sum(), (student, teacher))
    assert not any(gradient.any() for gradient in gradients)


def test_very_similar_vectors_do_not_overflow() -> None:
    ones = torch.ones(1, 4, 6)
    foreground = torch.tensor([[True, True, False, False, False, False]])
    result = negative_logsumexp(ones, ones, foreground, 1e-3)
    assert result[0, 0].item() == pytest.approx(4000 + torch.log(torch.tensor(4.0)).item())


def test_no_block_is_larger_than_it_may_be(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negatives, "CPU_CHUNK", 200)
    student, teacher, _ = example((1, 1))
    student, teacher = student.repeat(1, 1, 10), teacher.repeat(1, 1, 10)  # 120 patches
    foreground = torch.arange(120).expand(2, 120) < 30
    with watch:
        negative_logsumexp(student, teacher, foreground, 0.1).sum().backward()
    assert watch.largest <= student.numel()  # 720, where a full block has 2700
