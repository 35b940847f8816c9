from __future__ import annotations

import math
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.reporting.scores import METRICS, read_scores, summarise, worst_cases

from .conftest import write_scores

DICE = METRICS["dice"].file


def test_scores_are_read_by_case_without_the_paths_of_a_machine(tmp_path: Path) -> None:
    write_scores(tmp_path, DICE, {"/data/HGG/ann": (0.5, 0.6, 0.7)})
    assert read_scores(tmp_path) == {"dice": {"ann": (0.5, 0.6, 0.7)}}


def test_folder_without_an_evaluation_has_no_scores(tmp_path: Path) -> None:
    assert read_scores(tmp_path / "absent") == {}


@pytest.mark.parametrize("text", ["case,dice\na,1\n", "filename,class0,class1,class2\na_t2.nii,0.1,x,0.2\n"])
def test_file_of_another_kind_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / DICE).write_text(text)
    with pytest.raises(InputError, match=r"val_mean_dice_raw\.csv is not what an evaluation writes"):
        read_scores(tmp_path)


def test_case_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write_scores(tmp_path, DICE, {"x/a": (1, 1, 1), "y/a": (0, 0, 0)})
    with pytest.raises(InputError, match="has the case a twice"):
        read_scores(tmp_path)


def test_summary_leaves_out_what_is_no_number_and_counts_it() -> None:
    values = {"a": (1.0, 4.0, math.nan), "b": (2.0, math.inf, math.nan), "c": (6.0, 8.0, math.nan)}
    summaries = summarise(values)
    assert list(summaries) == ["tc", "wt"]
    assert (summaries["wt"].count, summaries["wt"].total, summaries["wt"].mean) == (2, 3, 6.0)
    assert (summaries["tc"].median, summaries["tc"].extremes) == (2.0, (1.0, 6.0))
    assert summaries["tc"].deviation == pytest.approx(7**0.5)


def test_worst_cases_are_those_of_the_lowest_mean_dice_and_undefined_ones_come_last() -> None:
    dice = {"good": (0.9, 0.9, 0.9), "undefined": (math.nan,) * 3, "worst": (0.0, 0.9, 0.0), "bad": (0.5, 0.5, 0.5)}
    assert worst_cases({"dice": dice}, 3) == ["worst", "bad", "good"]
    assert worst_cases({}, 3) == []
