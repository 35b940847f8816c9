"""Is one method better than another on the same cases? A paired test, an interval, and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["PairedTest", "holm", "paired_test"]

Array = npt.NDArray[np.float64]

BOOTSTRAP_SEED, RESAMPLES = 0, 9999
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
    """

    difference: float
    low: float
    high: float
    p: float
    direction: int


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
    if not unequal.size:
        return PairedTest(mean, low, high, 1.0, 0)
    ranks = float(np.sum(np.sign(unequal) * stats.rankdata(np.abs(unequal))))
    direction = int(np.sign(ranks)) if np.sign(ranks) == np.sign(mean) else 0
    return PairedTest(mean, low, high, float(stats.wilcoxon(unequal).pvalue), direction)


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
