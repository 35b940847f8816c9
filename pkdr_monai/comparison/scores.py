"""The scores of one method on one choice of modalities, over seeds and cases: means, and how far they spread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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
        folds: number of the fold that tested each case; empty where there is a single division.
    """

    cell: str
    modality: str
    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    dice: Array
    hd95: Array
    folds: tuple[int, ...] = ()

    def on(self, cases: Collection[str]) -> Scores:
        """Return the scores on some of the cases, in the same order."""
        kept = [place for place, case in enumerate(self.cases) if case in cases]
        return replace(
            self,
            cases=tuple(self.cases[place] for place in kept),
            dice=self.dice[:, kept],
            hd95=self.hd95[:, kept],
            folds=tuple(self.folds[place] for place in kept) if self.folds else (),
        )

    @property
    def fold_means(self) -> dict[int, Array]:
        """Mean Dice over cases and seeds of each fold, ``(4,)``, by its number."""
        member = np.array(self.folds)
        return {fold: self.case_means[member == fold].mean(axis=0) for fold in sorted(set(self.folds))}

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
    """Put the seeds of each method together, and pool the test cases of its folds.

    While a study with folds is under way, a method is shown on the folds of the seed that has most, and with the seeds
    that have all of these.

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
    by_seed: dict[int, dict[int | None, Result]] = {}
    for result in results:
        by_seed.setdefault(result.seed, {})[result.fold] = result
    folds = max((tuple(sorted(found, key=_number)) for found in by_seed.values()), key=len)
    seeds = tuple(seed for seed, found in by_seed.items() if set(folds) <= set(found))
    tested = {case: fold for fold in folds for case in by_seed[seeds[0]][fold].cases}
    cases = tuple(sorted(tested))
    pooled = [{case: by_seed[seed][tested[case]].cases[case] for case in cases} for seed in seeds]
    numbers = tuple(_number(tested[case]) for case in cases) if folds != (None,) else ()
    return Scores(cell, modality, seeds, cases, _matrix(pooled, "dice"), _matrix(pooled, "hd95"), numbers)


def _number(fold: int | None) -> int:
    return -1 if fold is None else fold


def _matrix(seeds: Sequence[Mapping[str, Mapping[str, Mapping[str, float]]]], metric: str) -> Array:
    """Return one metric of every seed, case and region, with the mean of the regions as the last column."""
    regions = np.array(
        [[[case[metric][region] for region in COLUMNS[:-1]] for case in cases.values()] for cases in seeds],
        dtype=np.float64,
    )  # (S, C, 3)
    return np.concatenate([regions, regions.mean(axis=2, keepdims=True)], axis=2)
