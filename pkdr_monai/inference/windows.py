"""A network over a whole brain: windows that start at whole patches, one single pass, or eight mirror images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from monai.inferers import SlidingWindowInferer

from pkdr_monai.inference.backends import Backend
from pkdr_monai.inference.settings import Settings
from pkdr_monai.networks.blocks import STRIDE

__all__ = ["aligned_overlap", "brain_probabilities"]

AXES = (2, 3, 4)  # X, Y, Z of (1, M, X, Y, Z)
FLIPS = tuple(axes for count in range(4) for axes in combinations(AXES, count))  # none first, eight in all


@torch.inference_mode()
def brain_probabilities(
    image: torch.Tensor, backend: Backend, roi_size: Sequence[int], settings: Settings
) -> torch.Tensor:
    """Return the probability of each region in a brain's box.

    Args:
        image: preprocessed image, ``(M, X, Y, Z)`` with sides that 16 divides.
        backend: the network.
        roi_size: window that it was trained on.
        settings: whether to take windows, and mirror images.

    Returns:
        Probabilities of TC, WT and ET, ``(3, X, Y, Z)``; of mirror images the mean.

    Example:
        >>> constant = lambda image: torch.zeros(1, 3, *image.shape[2:])
        >>> settings = Settings(flips=True)
        >>> probabilities = brain_probabilities(torch.zeros(1, 32, 16, 16), constant, (16, 16, 16), settings)
        >>> tuple(probabilities.shape), float(probabilities.max())
        ((3, 32, 16, 16), 0.5)
    """
    batch = image.unsqueeze(0)
    infer = backend if settings.fast else _windows(backend, roi_size, settings)
    total = torch.zeros(())
    flips = FLIPS if settings.flips else FLIPS[:1]
    for axes in flips:
        total = total + infer(batch.flip(axes)).sigmoid().flip(axes)
    return (total / len(flips))[0]


def aligned_overlap(roi_size: Sequence[int], overlap: float) -> tuple[float, ...]:
    """Return an overlap near the one wanted, by axis, with which every window starts at a whole patch.

    The steps between windows are rounded down to multiples of 16, so that windows cover each other at least as wanted
    and the network's grid of patches is one for the whole brain.

    Example:
        >>> [round(part, 2) for part in aligned_overlap((128, 128, 96), 0.25)]
        [0.25, 0.25, 0.33]
    """
    steps = [max(STRIDE, int(side * (1 - overlap)) // STRIDE * STRIDE) for side in roi_size]
    # MONAI takes the whole part of side * (1 - overlap): aim half a voxel beyond the step, not at it
    return tuple(max(0.0, 1 - (step + 0.5) / side) for side, step in zip(roi_size, steps, strict=True))


def _windows(backend: Backend, roi_size: Sequence[int], settings: Settings) -> Backend:
    overlap = aligned_overlap(roi_size, settings.window_overlap)
    inferer = SlidingWindowInferer(roi_size, overlap=overlap, mode=settings.blend)

    def infer(image: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(inferer(image, backend))

    return infer
