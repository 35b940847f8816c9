"""The losses as one would write them down from the paper: what the package's own forms are measured against."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["literal_pixel_kd", "looped_contrastive", "looped_patch_labels", "masked_contrastive"]


def looped_patch_labels(label: Tensor, patch_size: int) -> Tensor:
    """Count the voxels of one patch after the other."""
    sides = [side // patch_size for side in label.shape[2:]]
    result = torch.zeros(*label.shape[:2], *sides)
    for b, c, *patch in itertools.product(*map(range, result.shape)):
        x, y, z = (slice(index * patch_size, (index + 1) * patch_size) for index in patch)
        cube = label[b, c, x, y, z]
        result[(b, c, *patch)] = (cube.sum() > 0).item()
    return result


def literal_pixel_kd(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Two sigmoids, then binary cross-entropy."""
    target = torch.sigmoid(teacher / temperature)
    return F.binary_cross_entropy(torch.sigmoid(student / temperature), target) * student.shape[1]


def masked_contrastive(student: Tensor, teacher: Tensor, patch_label: Tensor, temperature: float) -> Tensor:
    """All N x N similarities, those within a class masked; embeddings (B, D, N), labels (B, 1, N)."""
    student, teacher = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    similarity = student.transpose(1, 2) @ teacher / temperature  # (B, N, N)
    foreground = patch_label[:, 0] > 0  # (B, N)
    same_class = foreground[:, :, None] == foreground[:, None, :]
    same_class &= ~torch.eye(foreground.shape[1], dtype=torch.bool)
    terms = similarity.masked_fill(same_class, -torch.inf).logsumexp(2) - similarity.diagonal(dim1=1, dim2=2)
    return terms.mean()


def looped_contrastive(student: Tensor, teacher: Tensor, patch_label: Tensor, temperature: float) -> Tensor:
    """One anchor after the other; embeddings (B, D, N), labels (B, 1, N)."""
    student, teacher = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    terms = []
    for b, i in itertools.product(range(student.shape[0]), range(student.shape[2])):
        similarity = student[b, :, i] @ teacher[b] / temperature  # (N,)
        negatives = patch_label[b, 0] != patch_label[b, 0, i]
        candidates = torch.cat([similarity[i, None], similarity[negatives]])
        terms.append(candidates.logsumexp(0) - similarity[i])
    return torch.stack(terms).mean()
