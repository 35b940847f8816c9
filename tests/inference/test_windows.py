"""Windows start at whole patches; one pass and mirror images see the same brain."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from pkdr_monai.inference.predictor import FLIPS, Settings, aligned_overlap, brain_probabilities


class Recorder:
    """A backend that keeps what it saw and answers with the image itself."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        return image.expand(-1, 3, -1, -1, -1).clone()


def coordinates(*shape: int) -> torch.Tensor:
    """Return an image whose voxels are their own first coordinate."""
    return torch.arange(shape[0]).float()[:, None, None].expand(shape)[None].clone()


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("roi_size", [(128, 128, 96), (64, 64, 64), (32, 48, 16)])
def test_every_window_starts_at_a_whole_patch(overlap: float, roi_size: tuple[int, int, int]) -> None:
    backend = Recorder()
    image = coordinates(272, 16, 16)
    brain_probabilities(image, backend, (roi_size[0], 16, 16), Settings(window_overlap=overlap))
    starts = [float(window.min()) for window in backend.seen]
    assert starts[0] == 0
    assert all(start % 16 == 0 for start in starts)
    step = min(later - start for start, later in pairwise(starts))
    assert step <= max(16, roi_size[0] * (1 - overlap))


def test_half_an_overlap_is_exactly_that_of_the_bundle() -> None:
    steps = [
        int(side * (1 - part)) for side, part in zip((128, 128, 96), aligned_overlap((128, 128, 96), 0.5), strict=True)
    ]
    assert steps == [64, 64, 48]


def test_a_fast_one_is_a_single_pass() -> None:
    backend = Recorder()
    brain_probabilities(coordinates(64, 32, 32), backend, (32, 32, 32), Settings(fast=True))
    assert [tuple(image.shape) for image in backend.seen] == [(1, 1, 64, 32, 32)]


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
def test_windows_give_back_what_a_single_pass_does(blend: str) -> None:
    image = torch.randn(1, 48, 32, 32, generator=torch.Generator().manual_seed(0))
    windows = brain_probabilities(image, Recorder(), (32, 32, 32), Settings(blend=blend))
    torch.testing.assert_close(windows, image.sigmoid().expand(3, -1, -1, -1))


def test_all_eight_mirror_images_are_averaged() -> None:
    backend = Recorder()
    image = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    result = brain_probabilities(image, backend, (16, 16, 16), Settings(fast=True, flips=True))
    assert len(backend.seen) == len(set(FLIPS)) == 8
    assert len({float(seen[0, 0, 0, 0, 0]) for seen in backend.seen}) == 8
    torch.testing.assert_close(result[0], image[0].sigmoid())  # a backend without a sense of direction


def test_the_average_is_of_probabilities() -> None:
    answers = iter([8.0] * 4 + [-8.0] * 4)
    result = brain_probabilities(
        torch.zeros(1, 16, 16, 16),
        lambda image: torch.full((1, 3, 16, 16, 16), next(answers)),
        (16, 16, 16),
        Settings(fast=True, flips=True),
    )
    torch.testing.assert_close(result, torch.full((3, 16, 16, 16), 0.5))
