"""The report is written from the results alone, and is the same each time."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json
from pkdr_monai.studies.report import render_tables, report_text, write_report
from tests.studies.results.conftest import ROOT, TABLES, result, save_result

STUDIES = sorted(path.parent for path in (ROOT / "experiments" / "results").glob("*/README.md"))


@pytest.mark.parametrize("folder", [None, *STUDIES], ids=lambda folder: folder.name if folder else "synthetic")
def test_a_report_is_what_its_results_say(folder: Path | None, study_folder: Path) -> None:
    """Each committed report, and a synthetic one, is what its own files give, byte for byte."""
    if folder is None:
        folder = study_folder
        write_report(folder, TABLES)
    text = (folder / "README.md").read_bytes().decode()
    assert text == report_text(folder, TABLES)
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert pictures
    assert all((folder / picture).is_file() for picture in pictures)


def test_what_was_written_is_returned(make_study: Callable[..., Path]) -> None:
    study_folder = make_study(modalities=("t2",), seeds=1)
    paths = write_report(study_folder, TABLES)
    assert paths[0] == study_folder / "README.md"
    assert len(paths) == 1 + 6
    assert set(paths[1:]) == set((study_folder / "figures").iterdir())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[1:])


def test_the_text_does_not_depend_on_the_names_of_the_files(study_folder: Path) -> None:
    before = report_text(study_folder, TABLES)
    for number, path in enumerate(sorted((study_folder / "runs").iterdir(), reverse=True)):
        path.rename(path.with_name(f"{number:03d}.json"))
    assert report_text(study_folder, TABLES) == before


def test_the_report_says_what_its_figures_are_and_are_not(study_folder: Path) -> None:
    text = report_text(study_folder, TABLES)
    flat = " ".join(text.split())
    assert text.endswith("\n\nResearch software, not a medical device.\n")
    for words in (
        "synthetic: scores on them compare methods and say nothing about patients",
        "our figures are not comparable with it",
        "has Dice 1 and HD95 0",
        "the diagonal of the volume",
        "copied digit for digit",
        "### Tests against Unimodal",
        "### Tests against PKDR",
        "Nothing of this table has been run.",
    ):
        assert words in flat
    assert "Other experiments" not in text


def test_validation_scores_are_called_too_high(study_folder: Path) -> None:
    assert "the scores are too high" not in report_text(study_folder, TABLES)
    write_json(study_folder / "study.json", {**read_json(study_folder / "study.json"), "scored": "validation"})
    assert "the scores are too high" in report_text(study_folder, TABLES)


def test_an_unknown_cell_has_a_row(study_folder: Path) -> None:
    save_result(study_folder, result(["table1/my_method"]))
    save_result(study_folder, result(["hint"]))
    text = report_text(study_folder, TABLES)
    table1, others = text.split("## Table 2")[0], text.split("## Other experiments")[1]
    assert re.search(r"\| my_method +\| 1, too few", table1)
    assert re.search(r"\| hint +\| 1, too few", others)
    assert re.search(r"\| hint +\| +T2 \| +mean \|", others)


def test_too_few_cases_for_any_finding_are_told(make_study: Callable[..., Path]) -> None:
    assert "With 6 cases no p is below 0.031: after correction for 40 tests none" in report_text(make_study(), TABLES)
    assert "no p is below" not in report_text(make_study(cases=16), TABLES)


def test_a_study_that_has_just_begun_has_a_report(make_study: Callable[..., Path]) -> None:
    folder = make_study(seeds=0, cost=False)
    assert [path.name for path in write_report(folder, TABLES)] == ["README.md"]
    assert "Nothing has been run yet." in render_tables(folder, TABLES)


def test_a_corrupt_file_leaves_the_old_report_alone(make_study: Callable[..., Path]) -> None:
    study_folder = make_study(modalities=("t2",), seeds=1, cost=False)
    write_report(study_folder, TABLES)
    before = (study_folder / "README.md").read_bytes()
    (study_folder / "runs" / "table1_pkdr_t2_0.json").write_text('{"cells": [')
    with pytest.raises(InputError, match=r"table1_pkdr_t2_0\.json is not valid JSON"):
        write_report(study_folder, TABLES)
    assert (study_folder / "README.md").read_bytes() == before


def test_a_terminal_gets_the_tables_that_it_asks_for(study_folder: Path) -> None:
    everything = render_tables(study_folder, TABLES)
    assert everything.endswith("Research software, not a medical device.")
    assert "<details>" not in everything
    some = render_tables(study_folder, TABLES, ["table2"])
    assert "Baseline" in some
    assert "Table 1" in everything
    assert "Table 1" not in some


def test_an_unknown_table_is_named(study_folder: Path) -> None:
    with pytest.raises(InputError, match=r"unknown table 'table9': choose among table1, table2"):
        render_tables(study_folder, TABLES, ["table9"])
