"""The trainer's batch holds the teacher's outputs under the names that the Distiller gives its loss."""

from __future__ import annotations

import pytest
import torch

from pkdr_monai.caching import CachedTeacherBatch
from pkdr_monai.caching.teacher_outputs import EMBEDDING, PATCH_LOGITS, SOFT_TARGET
from pkdr_monai.losses import PKDRLoss
from pkdr_monai.networks import Distiller, PatchSelectionHead, PatchVNet, Projector


def test_a_batch_of_the_cache_distils() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 32, 16, 16)
    batch = {
        "image": torch.randn(2, 4, 32, 16, 16),
        "label": (torch.rand(2, 3, 32, 16, 16) > 0.999).float(),
        SOFT_TARGET: (torch.sigmoid(logits / 10) * 255).round().to(torch.uint8),
        PATCH_LOGITS: torch.randn(2, 3, 2, 1, 1).half(),
        EMBEDDING: torch.randn(2, 32, 2, 1, 1).half(),
    }
    image, label, positional, teacher = CachedTeacherBatch(10.0)(batch, "cpu")
    assert positional == ()
    torch.testing.assert_close(teacher["logits"], logits, rtol=0, atol=0.11)
    projector = Projector(32)
    heads = {"patch_logits": PatchSelectionHead(32), "projection": projector}
    student = PatchVNet(1, init_filters=2)
    distiller = Distiller(student, None, [2], heads, {"projection": projector}, teacher_cached=True)
    prediction = distiller(image, *positional, **teacher)
    assert sorted(prediction["teacher"]) == ["embedding", "logits", "patch_logits", "projection"]
    loss = PKDRLoss()
    loss(prediction, label).backward()
    assert {"pixel_kd", "patch_kd", "patch_contrastive"} <= set(loss.parts)
    with pytest.raises(ValueError, match="come with the batch, and got"):
        distiller(image)
    with pytest.raises(ValueError, match="are computed here, and got"):
        Distiller(student, None, [2])(image, **teacher)
    with pytest.raises(ValueError, match="give no teacher"):
        Distiller(student, student, [2], teacher_cached=True)
