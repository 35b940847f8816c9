"""The scores of one method on one choice of sequences, over seeds and cases: means, and how far they spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pkdr_monai.comparison.results import Result

__all__ = ["COLUMNS", "Scores", "group_scores"]

Array = npt.NDArray[np.float64]

COLUMNS: tuple[str, ...] = ("wt", "tc", "et", "mean")
"""The columns of every table: the regions in the paper's order, then the mean of the three."""


@dataclass(frozen=True)
class Scores:
    """What every seed of a method scored on every case; S seeds, C cases, and the four :data:`COLUMNS`.

    Args:
        cell: the experiment, such as ``"table1/pkdr"``.
        modality: what the network saw.
        seeds: in ascending order.
        cases: names, in alphabetical order.
        dice: Dice from 0 to 1, ``(S, C, 4)``.
        hd95: 95th percentile of the surface distance in mm, ``(S, C, 4)``.
    """

    cell: str
    modality: str
    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    dice: Array
    hd95: Array

    @property
    def seed_means(self) -> Array:
        """Mean Dice over the cases, for each seed, ``(S, 4)``."""
        return self.dice.mean(axis=1)

    @property
    def mean(self) -> Array:
        """Mean Dice over cases and seeds, ``(4,)``."""
        return self.seed_means.mean(axis=0)

    @property
    def spread(self) -> Array | None:
        """Sample standard deviation of :attr:`seed_means` over the seeds, ``(4,)``; none with a single seed."""
        return self.seed_means.std(axis=0, ddof=1) if len(self.seeds) > 1 else None

    @property
    def case_means(self) -> Array:
        """Dice of each case, averaged over the seeds, ``(C, 4)``."""
        return self.dice.mean(axis=0)

    @property
    def case_distances(self) -> Array:
        """HD95 of each case in mm, averaged over regions and seeds, ``(C,)``."""
        return self.hd95[..., COLUMNS.index("mean")].mean(axis=0)


def group_scores(results: Iterable[Result]) -> dict[tuple[str, str], Scores]:
    """Put the seeds of each method together.

    Args:
        results: of one study, as :func:`~pkdr_monai.comparison.results.read_results` returns them.

    Returns:
        The scores by cell and modality.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        for cell in result.cells:
            groups.setdefault((cell, result.modality), []).append(result)
    return {place: _scores(*place, sorted(group, key=lambda result: result.seed)) for place, group in groups.items()}


def _scores(cell: str, modality: str, results: list[Result]) -> Scores:
    cases = tuple(sorted(results[0].cases))
    seeds = tuple(result.seed for result in results)
    return Scores(cell, modality, seeds, cases, _matrix(results, cases, "dice"), _matrix(results, cases, "hd95"))


def _matrix(results: list[Result], cases: tuple[str, ...], metric: str) -> Array:
    """Return one metric of every seed, case and region, with the mean of the regions as the last column."""
    regions = np.array(
        [[[result.cases[case][metric][region] for region in COLUMNS[:-1]] for case in cases] for result in results],
        dtype=np.float64,
    )  # (S, C, 3)
    return np.concatenate([regions, regions.mean(axis=2, keepdims=True)], axis=2)
