"""The teacher's outputs on a whole case are kept small, and come back as they were but for the rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pkdr_monai.caching import CachedTeacherBatch, Preparation, TeacherOutputs
from pkdr_monai.caching.teacher_outputs import EMBEDDING, PATCH_LOGITS, SOFT_TARGET, logits_of
from pkdr_monai.losses import PKDRLoss
from pkdr_monai.networks import Distiller, PatchSelectionHead, PatchVNet, Projector

TEMPERATURE = 10.0


@pytest.fixture
def teacher() -> PatchVNet:
    torch.manual_seed(0)
    return PatchVNet(4, init_filters=2, patch_head=True)


@pytest.fixture
def outputs(preparation: Preparation, teacher: PatchVNet, tmp_path: Path) -> TeacherOutputs:
    torch.save(teacher.state_dict(), tmp_path / "model.pt")
    return TeacherOutputs(preparation, teacher, tmp_path / "model.pt", TEMPERATURE)


def test_they_are_the_teachers_on_the_whole_case(
    outputs: TeacherOutputs, preparation: Preparation, teacher: PatchVNet, items: list[dict[str, Any]]
) -> None:
    arrays = outputs(items[0])
    image = torch.from_numpy(preparation(items[0])["image"]).float()[None]
    with torch.no_grad():
        expected = teacher.eval().features(image)
    assert {name: array.dtype.name for name, array in arrays.items()} == {
        "image": "float16",
        "label": "uint8",
        "teacher_soft_target": "uint8",
        "teacher_patch_logits": "float16",
        "teacher_embedding": "float16",
    }
    soft = torch.sigmoid(logits_of(torch.from_numpy(arrays["teacher_soft_target"]), TEMPERATURE) / TEMPERATURE)
    torch.testing.assert_close(soft, torch.sigmoid(expected["logits"][0] / TEMPERATURE), rtol=0, atol=1 / 510 + 1e-6)
    for name in ("patch_logits", "embedding"):
        kept = torch.from_numpy(arrays[f"teacher_{name}"]).float()
        torch.testing.assert_close(kept, expected[name][0], rtol=1e-3, atol=1e-4)
        assert all(side == 16 * patches for side, patches in zip(image.shape[2:], kept.shape[1:], strict=True))


def test_every_byte_comes_back_as_itself() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    logits = logits_of(levels, TEMPERATURE)
    assert bool(logits.isfinite().all())
    soft = torch.sigmoid(logits / TEMPERATURE) * 255
    torch.testing.assert_close(soft, levels.float(), rtol=0, atol=0.5 + 1e-4)
    torch.testing.assert_close(soft[1:-1], levels[1:-1].float(), rtol=0, atol=1e-3)


def test_another_teacher_or_temperature_is_another_cache(
    outputs: TeacherOutputs, preparation: Preparation, teacher: PatchVNet, tmp_path: Path
) -> None:
    warmer = TeacherOutputs(preparation, teacher, tmp_path / "model.pt", 5.0)
    with torch.no_grad():
        next(teacher.parameters()).add_(1)
    torch.save(teacher.state_dict(), tmp_path / "other.pt")
    other = TeacherOutputs(preparation, teacher, tmp_path / "other.pt", TEMPERATURE)
    settings = [each.settings for each in (outputs, warmer, other)]
    assert all(one != two for number, one in enumerate(settings) for two in settings[:number])
    assert all(
        {**each, "teacher": 0, "temperature": 0} == {**preparation.settings, "teacher": 0, "temperature": 0}
        for each in settings
    )


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
