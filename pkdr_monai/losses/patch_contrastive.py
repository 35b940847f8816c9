"""Eq. 7: tumour patches should look unlike healthy ones, and alike in both networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import at_least_float32, check_positive, check_same_shape, full_precision, plain

__all__ = ["Negatives", "PatchContrastiveLoss", "negative_logsumexp", "patch_contrastive_terms"]

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


Negatives = Literal["sample", "batch"]
CPU_DENSE = 2**17  # similarities up to which one masked matrix is faster than the blocks of negatives
GPU_DENSE = 2**22  # the same there, where the blocks have to wait for the number of foreground patches


class PatchContrastiveLoss(_Loss):
    r"""Make each patch of the student resemble the same patch of the teacher and no patch of the other class.

    The classes are foreground (the patch holds tumour) and background. With the cosine similarity between the student's
    vector :math:`s_i` and the teacher's :math:`t_j`, and :math:`b_i` the class of patch :math:`i` (Eq. 7):

    .. math::
        L_{cont} = - \frac{1}{N} \sum_i \log \frac{\exp(\cos(s_i, t_i) / \tau)}
        {\exp(\cos(s_i, t_i) / \tau) + \sum_{j: b_j \ne b_i} \exp(\cos(s_i, t_j) / \tau)}

    Other patches of the anchor's own class are in neither sum, which is where this differs from InfoNCE. The mean runs
    over all patches and the batch. A volume of one class has no negatives and adds exactly zero. The arithmetic is in
    float32 at least, inside autocast too.

    No N x N matrix is made when N is large: only the similarities between both classes are computed, in pieces, and
    again in the backward pass, so that memory grows with N.

    Args:
        temperature: :math:`\tau`, above 0; the paper does not give it.
        negatives: ``"sample"``: the teacher's patches of the same volume, the paper's words taken literally;
            ``"batch"``: of all volumes in the batch, which helps crops without tumour.
        class_balanced: average foreground and background anchors apart, then both means. The paper's plain mean leaves
            most of the weight to the background.
        detach_teacher: stop the gradient at the teacher's vectors. By default it flows, because a projector that both
            networks share learns from both sides; the teacher's own embedding has to be detached before the projector.

    Raises:
        ValueError: when an argument is none of these.

    Example:
        >>> student = torch.eye(2)[:, [0, 0, 1]].reshape(1, 2, 3, 1, 1)  # three patches of two features
        >>> foreground = torch.tensor([1, 1, 0]).reshape(1, 1, 3, 1, 1)
        >>> loss = PatchContrastiveLoss(temperature=0.1)
        >>> f"{loss(student, student, foreground):.4f}"  # as close to its twin, as far from the other class as can be
        '0.0001'
        >>> f"{loss(student, student.flip(1), foreground):.4f}"  # the other way round
        '10.2311'
    """

    def __init__(
        self,
        temperature: float = 0.1,
        negatives: Negatives = "sample",
        *,
        class_balanced: bool = False,
        detach_teacher: bool = False,
    ) -> None:
        super().__init__()
        check_positive("PatchContrastiveLoss", temperature=temperature)
        if negatives not in get_args(Negatives):
            known = ", ".join(get_args(Negatives))
            raise ValueError(f"PatchContrastiveLoss expects negatives to be one of {known}, but it is {negatives!r}.")
        self.temperature = temperature
        self.negatives = negatives
        self.class_balanced = class_balanced
        self.detach_teacher = detach_teacher

    def extra_repr(self) -> str:
        """Name the settings, for logs and a run's record."""
        return (
            f"temperature={self.temperature}, negatives={self.negatives!r}, "
            f"class_balanced={self.class_balanced}, detach_teacher={self.detach_teacher}"
        )

    def forward(self, student: Tensor, teacher: Tensor, patch_label: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            student: projected embedding of the student, one vector a patch, ``(B, D, X/P, Y/P, Z/P)``.
            teacher: projected embedding of the teacher, of the same shape.
            patch_label: above 0 where a patch holds tumour of any kind, ``(B, 1, X/P, Y/P, Z/P)``.

        Raises:
            ValueError: when the shapes do not fit.
        """
        if self.detach_teacher:
            teacher = teacher.detach()
        terms = patch_contrastive_terms(student, teacher, patch_label, self.temperature, self.negatives)
        if not self.class_balanced:
            return terms.mean()
        foreground = (plain(patch_label) > 0).flatten(1)  # (B, N)
        return 0.5 * (_mean_where(foreground, terms) + _mean_where(~foreground, terms))


def patch_contrastive_terms(
    student: Tensor, teacher: Tensor, patch_label: Tensor, temperature: float, negatives: Negatives = "sample"
) -> Tensor:
    """Return what each patch, as the anchor, adds to the loss before averaging, ``(B, N)``.

    It is good for a closer look, such as the mean over foreground anchors beside that over background anchors.
    Arguments are those of :class:`PatchContrastiveLoss`.
    """
    check_same_shape(
        "PatchContrastiveLoss", "Give both sides projections of one width.", student=student, teacher=teacher
    )
    expected = (student.shape[0], 1, *student.shape[2:])
    if tuple(patch_label.shape) != expected:
        raise ValueError(
            f"PatchContrastiveLoss expects patch_label, one channel of foreground, to be {expected} beside embeddings "
            f"of {tuple(student.shape)}, but it is {tuple(patch_label.shape)}."
        )
    student, teacher = (at_least_float32(plain(embedding)).flatten(2) for embedding in (student, teacher))  # (B, D, N)
    foreground = (plain(patch_label) > 0).flatten(1)  # (B, N)
    shape = foreground.shape
    if negatives == "batch":  # the whole batch is one long volume
        student, teacher = (embedding.transpose(0, 1).flatten(1)[None] for embedding in (student, teacher))
        foreground = foreground.flatten()[None]
    limit = CPU_DENSE if foreground.device.type == "cpu" else GPU_DENSE
    dense = foreground.numel() * foreground.shape[1] <= limit
    with full_precision(student):
        student, teacher = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
        terms = (_dense_terms if dense else _split_terms)(student, teacher, foreground, temperature)
    return terms.reshape(shape)


def _dense_terms(student: Tensor, teacher: Tensor, foreground: Tensor, temperature: float) -> Tensor:
    """Compute all similarities, then leave out those within a class."""
    similarity = student.transpose(1, 2) @ teacher / temperature  # (B, N, N), anchor by teacher vector
    same_class = foreground[:, :, None] == foreground[:, None, :]  # (B, N, N)
    itself = torch.eye(similarity.shape[1], dtype=torch.bool, device=similarity.device)
    candidates = similarity.masked_fill(same_class & ~itself, -torch.inf)
    return candidates.logsumexp(2) - similarity.diagonal(dim1=1, dim2=2)  # (B, N)


def _split_terms(student: Tensor, teacher: Tensor, foreground: Tensor, temperature: float) -> Tensor:
    """Compute only the similarities between both classes, without keeping them."""
    positive = (student * teacher).sum(1) / temperature  # (B, N)
    return F.softplus(negative_logsumexp(student, teacher, foreground, temperature) - positive)  # (B, N)


def _mean_where(chosen: Tensor, terms: Tensor) -> Tensor:
    return (terms * chosen).sum() / chosen.sum().clamp(min=1)
