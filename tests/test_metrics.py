from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.metrics import HD95Metric

SPACING = (1.0, 1.5, 3.0)


def _outline(region: np.ndarray) -> list[tuple[int, ...]]:
    """Voxels of the region that have a neighbour outside it across a face; beyond the volume is outside."""
    padded = np.pad(region, 1)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1]
    return [
        voxel
        for voxel in zip(*np.nonzero(region), strict=True)
        if any(not padded[tuple(v + 1 + s for v, s in zip(voxel, step, strict=True))] for step in steps)
    ]


def _oracle(one: np.ndarray, other: np.ndarray) -> float:
    def directed(start: list[tuple[int, ...]], end: list[tuple[int, ...]]) -> float:
        nearest = [
            min(math.dist(*([v * s for v, s in zip(p, SPACING, strict=True)] for p in (a, b))) for b in end)
            for a in start
        ]
        return float(np.percentile(nearest, 95))

    outlines = _outline(one), _outline(other)
    return max(directed(*outlines), directed(*outlines[::-1]))


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_larger_of_both_95th_percentiles_in_mm(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    found, truth = torch.rand(2, 1, 1, 7, 6, 5, generator=generator) > 0.6
    value = HD95Metric(SPACING)(found, truth)
    assert value.item() == pytest.approx(_oracle(found[0, 0].numpy(), truth[0, 0].numpy()), rel=1e-5)


def test_voxels_are_as_large_as_the_truth_says() -> None:
    found, truth = torch.zeros(2, 1, 9, 9, 9)
    found[0, 2, 4, 4], truth[0, 6, 4, 4] = 1, 1
    metric = HD95Metric()
    metric([found], [MetaTensor(truth, affine=torch.diag(torch.tensor([2.5, 1, 1, 1])))])
    assert metric.aggregate().item() == pytest.approx(10.0)


def test_nothing_found_where_nothing_is_scores_0_and_one_empty_side_the_diagonal() -> None:
    empty, full = torch.zeros(1, 1, 4, 6, 12), torch.ones(1, 1, 4, 6, 12)
    diagonal = math.hypot(4 * 1.0, 6 * 1.5, 12 * 3.0)
    metric = HD95Metric(SPACING)
    pairs = ((empty, empty), (empty, full), (full, empty), (full, full))
    assert [metric(*pair).item() for pair in pairs] == pytest.approx([0, diagonal, diagonal, 0])


def test_mean_is_over_cases_and_regions() -> None:
    metric = HD95Metric(SPACING)
    metric(torch.zeros(1, 2, 4, 6, 12), torch.zeros(1, 2, 4, 6, 12))
    metric(torch.zeros(1, 2, 4, 6, 12), torch.ones(1, 2, 4, 6, 12))
    assert metric.aggregate().item() == pytest.approx(math.hypot(4 * 1.0, 6 * 1.5, 12 * 3.0) / 2)


def test_tensor_without_a_voxel_size_is_refused() -> None:
    with pytest.raises(ValueError, match="does not know the size of a voxel"):
        HD95Metric()(torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 4))
