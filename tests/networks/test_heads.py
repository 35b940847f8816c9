"""The heads keep one vector for one patch."""

from __future__ import annotations

import torch

from pkdr_monai.networks import PatchSelectionHead, Projector


def _changed_positions(head: torch.nn.Module, channels: int) -> int:
    embedding = torch.zeros(1, channels, 2, 3, 2)
    other = embedding.clone()
    other[0, :, 1, 2, 0] = 1.0
    difference = (head(embedding) - head(other)).abs().sum(1)
    return int((difference > 0).sum())


def test_a_patch_logit_depends_on_its_own_patch_alone() -> None:
    assert _changed_positions(PatchSelectionHead(8), 8) == 1


def test_a_projection_depends_on_its_own_patch_alone() -> None:
    torch.manual_seed(0)
    assert _changed_positions(Projector(8), 8) == 1


def test_the_projector_has_two_layers_of_the_stated_widths() -> None:
    shapes = [tuple(p.shape[:2]) for name, p in Projector(256).named_parameters() if name.endswith("weight")]
    assert shapes == [(256, 256), (128, 256)]
