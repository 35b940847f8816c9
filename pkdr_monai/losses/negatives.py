"""The sum over the negatives of Eq. 7 for many patches, in memory that grows with their number and not its square."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pkdr_monai.losses.inputs import full_precision

__all__ = ["negative_logsumexp"]

CPU_CHUNK = 2**22  # similarities at a time: 16 MB in float32
GPU_CHUNK = 2**24


def negative_logsumexp(student: Tensor, teacher: Tensor, foreground: Tensor, temperature: float) -> Tensor:
    """Sum up how similar each student vector is to all teacher vectors of the other class.

    For each anchor i it returns log(sum over the j of the other class of exp(s_i . t_j / temperature)), and minus
    infinity where a volume has one class only. The similarities are computed piece by piece, and once more in the
    backward pass. On a GPU it waits once, to learn how many patches are foreground.

    Args:
        student: vectors of length 1, ``(B, D, N)``.
        teacher: vectors of length 1, ``(B, D, N)``.
        foreground: the class of each patch, bool, ``(B, N)``.
        temperature: what similarities are divided by.

    Returns:
        ``(B, N)``.
    """
    result: Tensor = _NegativeLogSumExp.apply(student, teacher, foreground, temperature)
    return result


class _NegativeLogSumExp(torch.autograd.Function):
    """Sort the patches of each volume by class, so that the negatives of either class are a slice."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, foreground: Tensor, temperature: float) -> Tensor:
        order = foreground.to(torch.uint8).argsort(dim=1, descending=True, stable=True)  # (B, N)
        counts = foreground.sum(1).tolist()
        result = torch.full_like(foreground, -torch.inf, dtype=student.dtype)  # (B, N)
        for volume, count in enumerate(counts):
            anchor = student[volume].index_select(1, order[volume]) / temperature  # (D, N)
            key = teacher[volume].index_select(1, order[volume])  # (D, N)
            for rows, columns in _blocks(count, anchor):
                block = anchor[:, rows].T @ key[:, columns]  # (rows, columns)
                result[volume, order[volume, rows]] = block.logsumexp(1)
        ctx.save_for_backward(student, teacher, order, result)
        ctx.counts, ctx.temperature = counts, temperature
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, Tensor, None, None]:
        student, teacher, order, result = ctx.saved_tensors
        grad_student, grad_teacher = torch.empty_like(student), torch.empty_like(teacher)
        for volume, count in enumerate(ctx.counts):
            index = order[volume]  # (N,)
            anchor = student[volume].index_select(1, index) / ctx.temperature  # (D, N)
            key = teacher[volume].index_select(1, index)  # (D, N)
            sums = result[volume, index], grad_output[volume, index]  # (N,) each
            with full_precision(student):
                grad_anchor, grad_key = _gradients(anchor, key, count, *sums)  # (D, N) each
            grad_student[volume].index_copy_(1, index, grad_anchor / ctx.temperature)
            grad_teacher[volume].index_copy_(1, index, grad_key)
        return grad_student, grad_teacher, None, None


def _gradients(anchor: Tensor, key: Tensor, count: int, result: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients for one sorted volume: each negative pulls by its share of the anchor's sum."""
    grad_anchor, grad_key = torch.zeros_like(anchor), torch.zeros_like(key)
    for rows, columns in _blocks(count, anchor):
        block = anchor[:, rows].T @ key[:, columns]  # (rows, columns)
        share = block.sub_(result[rows, None]).exp_().mul_(weight[rows, None])
        grad_anchor[:, rows] = key[:, columns] @ share.T
        grad_key[:, columns].addmm_(anchor[:, rows], share)
    return grad_anchor, grad_key


def _blocks(foreground: int, vectors: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut the anchors of both classes into pieces; with each goes the slice of all its negatives."""
    count = vectors.shape[1]
    if foreground in (0, count):  # one class: no negatives
        return
    chunk = CPU_CHUNK if vectors.device.type == "cpu" else GPU_CHUNK
    front, back = (0, foreground), (foreground, count)
    for (first, last), (start, stop) in ((front, back), (back, front)):
        height = max(1, chunk // (stop - start))
        for row in range(first, last, height):
            yield slice(row, min(row + height, last)), slice(start, stop)
