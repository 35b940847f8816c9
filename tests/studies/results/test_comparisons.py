"""A family of tests holds every method, choice of modalities and region, and is corrected as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.studies import read_study
from pkdr_monai.studies.results import COLUMNS
from pkdr_monai.studies.statistics import Comparison, PairedTest, compare, holm, paired_test

METHODS = ("table1/unimodal", "table1/pkdr", "table1/uhved", "table1/absent")


def test_the_family_is_every_method_sequence_and_column_that_was_run(study_folder: Path) -> None:
    found = compare(read_study(study_folder).scores, METHODS, "table1/unimodal", ("t1", "t1ce", "t2"))
    expected = {
        (cell, modality, column)
        for cell in ("table1/pkdr", "table1/uhved")
        for modality in ("t1ce", "t2")
        for column in COLUMNS
    }
    assert {(each.cell, each.modality, each.column) for each in found} == expected
    assert len(found) == len(expected)


def test_each_test_is_that_of_its_cases_and_all_are_corrected_together(study_folder: Path) -> None:
    scores = read_study(study_folder).scores
    found = compare(scores, METHODS, "table1/unimodal", ("t1ce", "t2"))
    for each in found:
        column = COLUMNS.index(each.column)
        pair = [scores[cell, each.modality].dice[..., column].mean(axis=0) for cell in (each.cell, "table1/unimodal")]
        assert each.test == paired_test(*pair)
    assert [each.corrected_p for each in found] == holm([each.test.p for each in found]).tolist()


def test_ahead_counts_the_seeds_one_by_one(study_folder: Path) -> None:
    scores = read_study(study_folder).scores
    (study_folder / "runs" / "table1_pkdr_t2_1.json").unlink()
    fewer = read_study(study_folder).scores
    for found, seeds in ((scores, (0, 1, 2)), (fewer, (0, 2))):
        for each in compare(found, METHODS, "table1/unimodal", ("t2",)):
            if each.cell == "table1/pkdr":
                column = COLUMNS.index(each.column)
                method, base = (
                    {seed: scores[cell, "t2"].dice[seed, :, column].mean() for seed in seeds}
                    for cell in (each.cell, "table1/unimodal")
                )
                assert each.ahead == sum(method[seed] > base[seed] for seed in seeds)
                assert each.seeds == len(seeds)


def test_without_the_reference_there_is_no_comparison(study_folder: Path) -> None:
    assert compare(read_study(study_folder).scores, METHODS, "table1/absent", ("t2",)) == []


@pytest.mark.parametrize(
    ("corrected_p", "direction", "verdict"),
    [
        (0.049, 1, "better"),
        (0.049, -1, "worse"),
        (0.05, 1, "no difference shown"),
        (0.001, 0, "no difference shown"),
        (1.0, -1, "no difference shown"),
    ],
)
def test_the_verdict_is_one_of_three(corrected_p: float, direction: int, verdict: str) -> None:
    test = PairedTest(0.1 * direction, -1.0, 1.0, float(np.nan), direction)
    assert Comparison("a", "t2", "mean", test, corrected_p, 1, 1).verdict == verdict
