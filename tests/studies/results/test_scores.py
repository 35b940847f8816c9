"""Means over cases, then over seeds, redone in plain loops."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json
from pkdr_monai.studies import group_scores, read_results
from pkdr_monai.studies.results import COLUMNS, Scores
from pkdr_monai.studies.statistics import compare
from tests.studies.results.conftest import result, save_result


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


def _fold(folder: Path, cell: str, seed: int, fold: int, worth: float = 0.6) -> None:
    record = result([cell], seed=seed, worth=worth, fold=fold, split_hash=f"fold{fold}")
    record["cases"] = {f"{case}_fold{fold}": scores for case, scores in record["cases"].items()}
    write_json(folder / "runs" / f"{cell.replace('/', '_')}_{seed}_{fold}.json", record)


def test_test_cases_of_all_folds_are_pooled(tmp_path: Path) -> None:
    for seed in range(2):
        for fold in range(3):
            _fold(tmp_path, "table1/pkdr", seed, fold)
    scores = group_scores(read_results(tmp_path))["table1/pkdr", "t2"]
    assert (scores.seeds, len(scores.cases), scores.dice.shape) == ((0, 1), 18, (2, 18, 4))
    assert sorted(set(zip((case[-1] for case in scores.cases), scores.folds, strict=True))) == [
        ("0", 0),
        ("1", 1),
        ("2", 2),
    ]
    pooled = np.mean(list(scores.fold_means.values()), axis=0)
    assert pooled == pytest.approx(scores.mean)


def test_unfinished_method_is_shown_on_the_folds_of_its_most_complete_seed(tmp_path: Path) -> None:
    for seed, fold in ((0, 0), (0, 1), (1, 0)):
        _fold(tmp_path, "table1/pkdr", seed, fold)
    scores = group_scores(read_results(tmp_path))["table1/pkdr", "t2"]
    assert (scores.seeds, sorted(set(scores.folds)), len(scores.cases)) == ((0,), [0, 1], 12)


def test_methods_are_compared_on_the_cases_of_both(tmp_path: Path) -> None:
    for fold in range(3):
        _fold(tmp_path, "table1/unimodal", 0, fold, worth=0.5)
    for fold in range(2):
        _fold(tmp_path, "table1/pkdr", 0, fold, worth=0.7)
    found = compare(group_scores(read_results(tmp_path)), ["table1/pkdr"], "table1/unimodal", ["t2"])
    assert [(each.cases, each.folds) for each in found] == [(12, 2)] * 4
    assert [each.folds_ahead for each in found if each.column in ("wt", "tc")] == [2, 2]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"fold": 0}, "were not scored on the same cases|both tested|split|split_hash"),
        ({"fold": None}, "one is of a fold, the other is not|both tested"),
        ({"fold": 7, "cases": None}, "in two folds"),
    ],
)
def test_results_whose_folds_contradict_each_other_are_refused(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    _fold(tmp_path, "table1/pkdr", 0, 0)
    other = read_json(tmp_path / "runs" / "table1_pkdr_0_0.json")
    other |= {"split_hash": "another", "seed": 1} | {
        key: value for key, value in change.items() if value or key == "fold"
    }
    write_json(tmp_path / "runs" / "z.json", other)
    with pytest.raises(InputError, match=complaint):
        read_results(tmp_path)
