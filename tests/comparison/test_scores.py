"""Means over cases, then over seeds, redone in plain loops."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from pkdr_monai.comparison import group_scores, read_results
from pkdr_monai.comparison.scores import COLUMNS, Scores
from tests.comparison.conftest import result, save_result


def _scores(folder: Path, seeds: int) -> Scores:
    for seed in reversed(range(seeds)):
        save_result(folder, result(["table1/pkdr"], seed=seed))
    return group_scores(read_results(folder))["table1/pkdr", "t2"]


def _case_dice(seed: int, case: str, column: str) -> float:
    dice = result(["table1/pkdr"], seed=seed)["cases"][case]["dice"]
    return sum(dice.values()) / 3 if column == "mean" else dice[column]


@pytest.mark.parametrize("seeds", [2, 3])
def test_mean_and_deviation_are_those_of_the_seeds_means(tmp_path: Path, seeds: int) -> None:
    scores = _scores(tmp_path, seeds)
    assert scores.seeds == tuple(range(seeds))
    assert scores.spread is not None
    for column, name in enumerate(COLUMNS):
        means = [statistics.fmean(_case_dice(seed, case, name) for case in scores.cases) for seed in range(seeds)]
        assert scores.seed_means[:, column] == pytest.approx(means)
        assert scores.mean[column] == pytest.approx(statistics.fmean(means))
        assert scores.spread[column] == pytest.approx(statistics.stdev(means))


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    assert _scores(tmp_path, 1).spread is None


def test_a_case_is_averaged_over_the_seeds(tmp_path: Path) -> None:
    scores = _scores(tmp_path, 3)
    for row, case in enumerate(scores.cases):
        for column, name in enumerate(COLUMNS):
            expected = sum(_case_dice(seed, case, name) for seed in range(3)) / 3
            assert scores.case_means[row, column] == pytest.approx(expected)


def test_a_distance_is_averaged_over_regions_and_seeds(tmp_path: Path) -> None:
    scores = _scores(tmp_path, 2)
    for row, case in enumerate(scores.cases):
        values = [
            value for seed in range(2) for value in result(["table1/pkdr"], seed=seed)["cases"][case]["hd95"].values()
        ]
        assert scores.case_distances[row] == pytest.approx(sum(values) / 6)


def test_one_training_serves_every_cell_that_it_names(tmp_path: Path) -> None:
    save_result(tmp_path, result(["table1/pkdr", "table3/full"]))
    save_result(tmp_path, result(["table1/pkdr", "table3/full"], "t1"))
    assert set(group_scores(read_results(tmp_path))) == {
        (cell, modality) for cell in ("table1/pkdr", "table3/full") for modality in ("t1", "t2")
    }
