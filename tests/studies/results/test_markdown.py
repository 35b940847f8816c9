"""What is in a table is what was measured, to the digit."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pkdr_monai.files import read_json, write_json
from pkdr_monai.studies import read_study
from pkdr_monai.studies.statistics import compare, detectable_difference
from pkdr_monai.studies.tables import (
    comparison_table,
    folded,
    markdown_table,
    published_table,
    read_tables,
    scores_table,
)
from tests.studies.results.conftest import TABLES, with_et_rule


def _cells(text: str) -> dict[str, list[str]]:
    """Return the rows of a Markdown table by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows}


def _scores(folder: Path, modality: str, table: str = "table1") -> dict[str, list[str]]:
    study = read_study(folder)
    return _cells(scores_table(read_tables(TABLES, study.cells)[table], modality, study))


def test_every_line_of_a_table_has_one_width() -> None:
    lines = markdown_table(["a", "longer"], [["some name", "1"], ["b", "0.5 ± 0.1"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert re.fullmatch(r"\|-+\|-+:\|", lines[1])


def test_a_table_without_rows_is_its_head() -> None:
    assert len(markdown_table(["a", "b"], []).splitlines()) == 2


def test_a_row_holds_mean_and_deviation_distance_cost_and_what_was_published(study_folder: Path) -> None:
    study = read_study(study_folder)
    scores = study.scores["table1/pkdr", "t2"]
    row = _scores(study_folder, "t2")["PKDR"]
    means = scores.dice.mean(axis=1)
    assert row[0] == "3"
    assert row[1:5] == [f"{means[:, n].mean():.3f} ± {np.std(means[:, n], ddof=1):.3f}" for n in range(4)]
    distances = scores.hd95[..., :3].mean(axis=(0, 2))
    assert row[5] == f"{distances.mean():.1f} ({np.median(distances):.1f})"
    assert row[6:] == ["1.50", "1.15", "0.6795"]


def test_the_teachers_stand_last_and_see_all_four(study_folder: Path) -> None:
    rows = _scores(study_folder, "t2")
    assert list(rows)[-2:] == [
        "Plain teacher (all four modalities)",
        "Teacher with patch selection (all four modalities)",
    ]
    assert rows["Teacher with patch selection (all four modalities)"][-1] == "0.8210"


def test_et_after_the_et_rule_has_a_column_where_every_seed_was_scored_with_it(study_folder: Path) -> None:
    for path in (study_folder / "runs").glob("table1_pkdr_t2_*"):
        write_json(path, with_et_rule(read_json(path)))
    rows = _scores(study_folder, "t2")
    assert rows["method"][6] == "ET, 500 mm³ rule"
    assert (rows["PKDR"][6], rows["Unimodal"][6]) == ("1.000", "-")
    scores = read_study(study_folder).scores["table1/pkdr", "t2"]
    assert scores.ruled is not None
    assert scores.ruled.shape == scores.dice.shape[:2]
    one_case = scores.on(scores.cases[:1]).ruled
    assert one_case is not None
    assert one_case.shape == (3, 1)


def test_a_cell_without_a_result_is_not_run(study_folder: Path) -> None:
    for path in (study_folder / "runs").glob("table1_kdnet*"):
        path.unlink()
    row = _scores(study_folder, "t2")["KD-Net"]
    assert row == ["not run", "-", "-", "-", "-", "-", "1.20", "1.06", "0.6205"]


def test_one_seed_is_too_few_and_has_no_deviation(make_study: Callable[..., Path]) -> None:
    row = _scores(make_study(seeds=1), "t2")["PKDR"]
    assert row[0] == "1, too few"
    assert all(re.fullmatch(r"0\.\d{3}", cell) for cell in row[1:5])


def test_two_seeds_have_a_deviation_and_are_too_few(make_study: Callable[..., Path]) -> None:
    row = _scores(make_study(seeds=2), "t2")["PKDR"]
    assert row[0] == "2, too few"
    assert "±" in row[1]


def test_a_column_without_content_is_left_out(make_study: Callable[..., Path]) -> None:
    folder = make_study(cost=False)
    assert _scores(folder, "t2")["method"][-1] == "published, BraTS 2018"
    assert not {"step", "memory"} & set(_scores(folder, "t2")["method"])
    assert _scores(folder, "t1ce", "table3")["method"][-1] == "HD95 in mm, mean (median)"


def test_a_test_is_told_in_points_and_words(study_folder: Path) -> None:
    study = read_study(study_folder)
    table = read_tables(TABLES)["table1"]
    found = compare(study.scores, table.own, "table1/unimodal", ("t2",))
    lines = comparison_table(found, table.rows).splitlines()[2:]
    assert len(lines) == len(found) == 5 * 4
    for line, each in zip(lines, found, strict=True):
        row = [cell.strip() for cell in line.strip("|").split("|")]
        assert row[0] == table.rows[each.cell]
        assert float(row[3]) == round(100 * each.test.difference, 2)
        assert row[4] == f"{100 * each.test.low:+.2f} to {100 * each.test.high:+.2f}"
        assert row[6] == ("< 0.001" if each.corrected_p < 0.001 else f"{each.corrected_p:.3f}")
        assert row[7:10] == [f"{each.ahead} of 3 seeds", each.verdict, str(each.cases)]
        assert float(row[10]) == round(100 * detectable_difference(each.test.spread, each.cases), 2)


def test_one_case_has_no_interval_to_show(make_study: Callable[..., Path]) -> None:
    study = read_study(make_study(cases=1))
    table = read_tables(TABLES)["table1"]
    text = comparison_table(compare(study.scores, table.own, "table1/unimodal", ("t2",)), table.rows)
    assert "nan" not in text


def test_published_figures_are_shown_as_published() -> None:
    rows = _cells(published_table(read_tables(TABLES)["table1"]))
    assert rows["method"] == ["T1", "T1ce", "T2", "FLAIR", "all four modalities"]
    assert rows["PKDR"][2] == "84.01 / 69.18 / 50.66 / 67.95"
    assert _cells(published_table(read_tables(TABLES)["table3"]))["complete PKDR"] == ["67.95"]


def test_a_folded_text_has_a_summary() -> None:
    assert folded("more", "text").splitlines()[1] == "<summary>more</summary>"
