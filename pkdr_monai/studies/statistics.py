"""Is one method better than another on the same cases? A paired test, an interval, and Holm's correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from pkdr_monai.studies.results import COLUMNS, Scores

__all__ = [
    "SIGNIFICANT",
    "Comparison",
    "PairedTest",
    "compare",
    "detectable_difference",
    "holm",
    "paired_test",
]

Array = npt.NDArray[np.float64]

BOOTSTRAP_SEED, RESAMPLES = 0, 9999
POWER = 0.8
EFFICIENCY = 3 / np.pi  # of Wilcoxon's signed-rank test beside the t-test, for normal differences
EQUAL = 12  # decimals: differences below are rounding errors of a mean, not differences


@dataclass(frozen=True)
class PairedTest:
    """How far a method is ahead of a reference over the same cases, and how sure that is.

    Args:
        difference: mean over the cases of method minus reference.
        low: lower end of its 95 % bootstrap interval over the cases; NaN with a single case.
        high: upper end.
        p: of the two-sided Wilcoxon signed-rank test; 1 when all cases are equal.
        direction: 1 or -1, where both the ranks and the mean say that the method is ahead or behind; 0 where they
            contradict each other.
        spread: sample standard deviation of the differences over the cases; NaN with a single case.
    """

    difference: float
    low: float
    high: float
    p: float
    direction: int
    spread: float = float("nan")


def paired_test(method: Array, reference: Array) -> PairedTest:
    """Compare two methods case by case: Wilcoxon's signed-rank test, and the mean difference with its interval.

    Cases in which both are equal say nothing about which one is better and are left out of the test, as Wilcoxon did;
    they count in the mean. The interval is that of the percentiles of 9999 resamplings of the cases, always the same.

    Args:
        method: one score a case, ``(C,)``.
        reference: the other's scores of the same cases, ``(C,)``.

    Example:
        >>> test = paired_test(np.array([0.5, 0.6, 0.7]), np.array([0.4, 0.4, 0.4]))
        >>> round(test.difference, 3), test.p, test.direction
        (0.2, 0.25, 1)
    """
    differences = np.round(method - reference, EQUAL)
    unequal = differences[differences != 0]
    low, high = _interval(differences)
    mean = float(differences.mean())
    spread = float(differences.std(ddof=1)) if differences.size > 1 else float("nan")
    if not unequal.size:
        return PairedTest(mean, low, high, 1.0, 0, spread)
    ranks = float(np.sum(np.sign(unequal) * stats.rankdata(np.abs(unequal))))
    direction = int(np.sign(ranks)) if np.sign(ranks) == np.sign(mean) else 0
    return PairedTest(mean, low, high, float(stats.wilcoxon(unequal).pvalue), direction, spread)


def detectable_difference(spread: float, cases: int) -> float:
    """Return the smallest true mean difference that a paired test shows in four of five studies of that size.

    That is 80 % power at p < 0.05, two-sided, for a single test. The power of the t-test is that of the noncentral t
    distribution; Wilcoxon's test needs pi / 3 as many cases for the same power, where differences are normal. After
    Holm's correction the first test of a family needs more.

    Args:
        spread: standard deviation of the paired differences, in any unit.
        cases: their number.

    Returns:
        The difference in the unit of ``spread``; NaN with an unknown spread, and with fewer than six cases, where p of
        Wilcoxon's test is 0.0625 or more whatever the differences are.

    Example:
        >>> f"{detectable_difference(10.0, 24):.2f}"
        '6.12'
    """
    if 2.0 ** (1 - cases) >= SIGNIFICANT or not np.isfinite(spread):
        return float("nan")
    size = cases * EFFICIENCY
    freedom = size - 1
    critical = stats.t.ppf(1 - SIGNIFICANT / 2, freedom)

    def lacking(shift: float) -> float:
        return float(stats.nct.sf(critical, freedom, shift) - POWER)  # the other tail adds next to nothing

    return spread * float(optimize.brentq(lacking, 0.0, 3 * critical)) / float(np.sqrt(size))


def holm(p_values: Sequence[float] | Array) -> Array:
    """Correct the p values of a family of tests so that one false finding among all of them has its old probability.

    Holm (1979): the smallest of m is multiplied by m, the next one by m - 1, and so on; none may be smaller than one
    before it, nor above 1.

    Args:
        p_values: of all tests of the family, ``(m,)``.

    Returns:
        The corrected values in the same order, ``(m,)``.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    steps = values[order] * np.arange(values.size, 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def _interval(differences: Array) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    if differences.size < 2:
        return float("nan"), float("nan")
    interval = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        method="percentile",
        random_state=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    return float(interval.low), float(interval.high)


SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Comparison:
    """One method against the reference, on one choice of modalities, in one region or in the mean of the three.

    Args:
        cell: the method.
        modality: what both saw.
        column: one of :data:`~pkdr_monai.studies.results.COLUMNS`.
        test: the paired test over the cases.
        corrected_p: its p value after Holm's correction over the family.
        ahead: in how many seeds the method's mean over the cases is above that of the reference with the same seed.
        seeds: how many seeds both have.
        cases: how many cases both were tested on.
        folds_ahead: in how many folds the method's mean over cases and seeds is above that of the reference.
        folds: how many folds both were tested in; 0 where there is a single split.
    """

    cell: str
    modality: str
    column: str
    test: PairedTest
    corrected_p: float
    ahead: int
    seeds: int
    cases: int = 0
    folds_ahead: int = 0
    folds: int = 0

    @property
    def verdict(self) -> str:
        """Return ``"better"``, ``"worse"`` or ``"no difference shown"``."""
        if self.corrected_p >= SIGNIFICANT or self.test.direction == 0:
            return "no difference shown"
        return "better" if self.test.direction > 0 else "worse"


def compare(
    scores: Mapping[tuple[str, str], Scores], cells: Sequence[str], reference: str, modalities: Sequence[str]
) -> list[Comparison]:
    """Test methods against a reference on the cases of both, wherever both were run.

    Args:
        scores: of a study.
        cells: the methods; the reference among them is passed over.
        reference: the cell that they are compared with.
        modalities: choices of modalities.

    Returns:
        For each choice of modalities, method and column one comparison, corrected as one family.
    """
    found = []
    for modality in modalities:
        base = scores.get((reference, modality))
        for cell in cells:
            method = scores.get((cell, modality))
            if base is not None and method is not None and cell != reference:
                common = set(method.cases) & set(base.cases)
                if common:
                    found += [(method.on(common), base.on(common), column) for column in range(len(COLUMNS))]
    tests = [paired_test(method.case_means[:, c], base.case_means[:, c]) for method, base, c in found]
    corrected = holm([test.p for test in tests])
    return [
        Comparison(
            *(method.cell, method.modality, COLUMNS[c], test, float(p), *_ahead(method, base, c)),
            cases=len(method.cases),
            folds_ahead=sum(bool(mean[c] > base.fold_means[fold][c]) for fold, mean in method.fold_means.items()),
            folds=len(method.fold_means),
        )
        for (method, base, c), test, p in zip(found, tests, corrected, strict=True)
    ]


def _ahead(method: Scores, base: Scores, column: int) -> tuple[int, int]:
    """Return in how many of the seeds that both have the method is ahead, and how many those are."""
    common = sorted(set(method.seeds) & set(base.seeds))
    ahead = sum(
        bool(method.seed_means[method.seeds.index(seed), column] > base.seed_means[base.seeds.index(seed), column])
        for seed in common
    )
    return ahead, len(common)
