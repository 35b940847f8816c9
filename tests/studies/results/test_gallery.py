"""A study has the figures that its results can fill, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from pkdr_monai.studies import read_study
from pkdr_monai.studies.figures import gallery
from pkdr_monai.studies.tables import read_tables
from tests.studies.results.conftest import TABLES, result, save_result


def _gallery(folder: Path) -> dict[str, Callable[[], Figure]]:
    study = read_study(folder)
    return gallery(read_tables(TABLES, study.cells).values(), study)


def _dots(figure: Figure) -> int:
    return sum(
        len(np.asarray(each.get_offsets()))
        for axes in figure.axes
        for each in axes.collections
        if isinstance(each, PathCollection)
    )


def test_each_table_and_choice_of_sequences_has_its_figures(study_folder: Path) -> None:
    assert set(_gallery(study_folder)) == {
        *("table1_t1ce", "table1_t1ce_differences", "table1_t2", "table1_t2_differences", "table1_cost"),
        *("table2_all", "table2_all_differences"),
        *("table3_t1ce", "table3_t2"),  # the complete method alone: nothing to compare it with
    }


def test_the_number_of_dots_is_that_of_the_results(study_folder: Path) -> None:
    figures = _gallery(study_folder)
    assert _dots(figures["table1_t2"]()) == 4 * 6 * 3  # regions, methods, seeds
    assert _dots(figures["table1_t2_differences"]()) == 4 * 5 * 6  # regions, methods but one, cases
    assert _dots(figures["table1_cost"]()) == 2 * 5  # choices of modalities, methods but one


def test_without_cost_or_reference_there_are_fewer(make_study: Callable[..., Path]) -> None:
    folder = make_study(modalities=("t2",), seeds=1, cost=False)
    (folder / "runs" / "table1_unimodal_t2_0.json").unlink()
    assert {name for name in _gallery(folder) if name.startswith("table1")} == {"table1_t2"}


def test_nothing_run_means_no_figure(make_study: Callable[..., Path]) -> None:
    assert _gallery(make_study(seeds=0)) == {}


def test_rows_shown_for_orientation_have_no_differences(study_folder: Path) -> None:
    save_result(study_folder, result(["controls/tau_0_5"]))
    save_result(study_folder, result(["controls/tau_0_5"], "t1+t2"))
    figures = _gallery(study_folder)
    assert _dots(figures["controls_t2"]()) == 4 * (3 * 3 + 1)
    assert _dots(figures["controls_t2_differences"]()) == 4 * 6
    assert "controls_t1_t2" in figures
    assert "controls_t1_t2_differences" not in figures
