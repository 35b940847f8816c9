"""The tests are those of the books, redone by hand and in plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from pkdr_monai.studies.statistics import detectable_difference, holm, paired_test


def _holm(p_values: list[float]) -> list[float]:
    """Holm's procedure as it is described: reject the smallest while it is small enough, at every level there is."""
    corrected = [1.0] * len(p_values)
    largest = 0.0
    left = list(range(len(p_values)))
    while left:
        smallest = min(left, key=lambda index: p_values[index])
        largest = max(largest, min(1.0, len(left) * p_values[smallest]))
        corrected[smallest] = largest
        left.remove(smallest)
    return corrected


def _exact_wilcoxon(differences: list[float]) -> float:
    """Two-sided p: the share of all distributions of signs whose rank sum is as far from its middle as this one."""
    found = [value for value in differences if value]
    sizes = sorted(abs(value) for value in found)
    ranks = [sizes.index(abs(value)) + (sizes.count(abs(value)) + 1) / 2 for value in found]
    middle = sum(ranks) / 2
    distance = abs(sum(rank for rank, value in zip(ranks, found, strict=True) if value > 0) - middle)
    outcomes = [
        sum(rank for rank, positive in zip(ranks, signs, strict=True) if positive)
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    return sum(abs(outcome - middle) >= distance - 1e-9 for outcome in outcomes) / len(outcomes)


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_holm_is_the_procedure_of_the_book(size: int) -> None:
    values = np.random.default_rng(size).uniform(0, 0.3, size).round(2).tolist()
    assert holm(values).tolist() == pytest.approx(_holm(values))


def test_holm_of_a_known_family() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_no_test_is_nothing() -> None:
    assert holm([]).size == 0


@pytest.mark.parametrize(
    "differences",
    [
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        [-0.1, 0.2, -0.3, 0.4, 0.5, 0.6, 0.7],
        [0.1, 0.1, -0.1, 0.2, 0.3],  # ties
        [0.0, 0.0, 0.1, -0.2, 0.3, 0.4],  # cases in which both are equal
    ],
)
def test_p_is_the_share_of_the_signs_that_are_as_extreme(differences: list[float]) -> None:
    reference = np.linspace(0.2, 0.3, len(differences))
    test = paired_test(reference + differences, reference)
    assert test.p == pytest.approx(_exact_wilcoxon(differences))
    assert test.difference == pytest.approx(sum(differences) / len(differences))


def test_six_cases_all_ahead_have_p_one_in_32() -> None:
    test = paired_test(np.array([0.51, 0.52, 0.53, 0.54, 0.55, 0.56]), np.full(6, 0.5))
    assert test.p == 2 / 2**6
    assert test.direction == 1


def test_equal_methods_have_p_1_and_no_direction() -> None:
    scores = np.array([0.1, 0.5, 0.9])
    test = paired_test(scores + 1e-15, scores)
    assert (test.difference, test.low, test.high, test.p, test.direction) == (0, 0, 0, 1, 0)


def test_exchanging_the_methods_turns_the_result_round() -> None:
    one, other = np.random.default_rng(0).uniform(0, 1, (2, 12))
    there, back = paired_test(one, other), paired_test(other, one)
    assert back.p == there.p
    assert back.difference == pytest.approx(-there.difference)
    assert back.direction == -there.direction


def test_ranks_and_mean_that_contradict_each_other_give_no_direction() -> None:
    reference = np.full(9, 0.9)
    differences = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, -0.9])
    test = paired_test(reference + differences, reference)
    assert test.difference < 0
    assert test.direction == 0


def test_the_interval_is_that_of_resampled_cases_and_always_the_same() -> None:
    differences = np.random.default_rng(1).normal(0.02, 0.05, 30)
    test = paired_test(differences, np.zeros(30))
    generator = np.random.default_rng(99)
    means = sorted(differences[generator.integers(0, 30, 30)].mean() for _ in range(4000))
    assert test.low == pytest.approx(means[100], abs=0.002)
    assert test.high == pytest.approx(means[3900], abs=0.002)
    assert test == paired_test(differences, np.zeros(30))


def test_one_case_has_no_interval() -> None:
    test = paired_test(np.array([0.5]), np.array([0.4]))
    assert math.isnan(test.low)
    assert math.isnan(test.high)
    assert test.p == 1


@pytest.mark.parametrize("cases", [12, 24])
def test_the_detectable_difference_is_shown_in_four_of_five_simulated_studies(cases: int) -> None:
    difference = detectable_difference(2.0, cases)
    studies = np.random.default_rng(cases).normal(difference, 2.0, (400, cases))
    shown = np.mean([stats.wilcoxon(study).pvalue < 0.05 for study in studies])
    assert shown == pytest.approx(0.8, abs=0.06)  # three standard errors of 400 studies


def test_the_detectable_difference_scales_with_the_spread_and_falls_with_the_cases() -> None:
    assert detectable_difference(4.0, 24) == pytest.approx(2 * detectable_difference(2.0, 24))
    assert detectable_difference(1.0, 96) == pytest.approx(detectable_difference(1.0, 24) / 2, rel=0.06)
    assert math.isnan(detectable_difference(1.0, 2))
    assert math.isnan(detectable_difference(paired_test(np.array([0.5]), np.array([0.4])).spread, 24))


@pytest.mark.parametrize("cases", [3, 5, 6])
def test_no_difference_can_be_detected_where_no_outcome_is_significant(cases: int) -> None:
    possible = bool(stats.wilcoxon(np.arange(1.0, cases + 1)).pvalue < 0.05)
    assert math.isnan(detectable_difference(1.0, cases)) is not possible
