"""The tables know every experiment here, and take in those that they do not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json
from pkdr_monai.studies import read_study
from pkdr_monai.studies.tables import Table, modality_title, read_tables
from tests.studies.results.conftest import ROOT, TABLES, result, save_result

FILES = sorted((ROOT / "experiments").glob("*/*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_experiment_has_a_row(path: Path) -> None:
    table = read_tables(TABLES)[path.parent.name]
    assert f"{path.parent.name}/{path.stem}" in {**table.rows, **table.teachers}


def test_every_row_is_an_experiment() -> None:
    cells = {f"{path.parent.name}/{path.stem}" for path in FILES} | {"bundle/teacher"}
    assert {cell for table in read_tables(TABLES).values() for cell in (*table.rows, *table.teachers)} <= cells


def test_published_means_are_those_of_the_published_regions() -> None:
    for by_modality in read_tables(TABLES)["table1"].published.values():
        for figures in by_modality.values():
            regions = [figures[region] for region in ("wt", "tc", "et")]
            assert sum(regions) / 3 == pytest.approx(figures["mean"], abs=0.01)  # as printed, rounded up once


def test_published_figures_are_those_of_the_paper_map() -> None:
    """docs/paper_map.md and the tables were written down once; they may not come to differ."""
    text = (ROOT / "docs" / "paper_map.md").read_text(encoding="utf-8")
    for table in read_tables(TABLES).values():
        for by_modality in table.published.values():
            for figures in by_modality.values():
                assert (
                    " / ".join(f"{figures[name]:.2f}" for name in ("wt", "tc", "et", "mean") if name in figures) in text
                )


def test_an_unknown_cell_stands_at_the_end_of_its_table_or_among_the_others() -> None:
    known = read_tables(TABLES)["table1"].rows
    tables = read_tables(TABLES, ["table1/invented", "table1/pkdr", "invented", "mine/invented_2", "bundle/teacher"])
    assert list(tables["table1"].rows.items()) == [*known.items(), ("table1/invented", "invented")]
    assert list(tables["others"].rows.items())[-2:] == [("invented", "invented"), ("mine/invented_2", "invented_2")]
    assert tables["others"].own == ("invented", "mine/invented_2")


def test_two_rows_of_a_table_never_have_one_name() -> None:
    others = read_tables(TABLES, ["mine/hint", "yours/hint"])["others"]
    assert list(others.rows.values())[-2:] == ["hint", "yours/hint"]
    assert all(
        len({**table.rows, **table.teachers}) == len({*table.rows.values(), *table.teachers.values()})
        for table in read_tables(TABLES).values()
    )


def test_rows_of_another_table_are_not_tested_again() -> None:
    controls = read_tables(TABLES)["controls"]
    assert "table1/pkdr" in controls.rows
    assert all(cell.startswith("controls/") for cell in controls.own)


def test_the_choices_of_sequences_are_those_with_something_to_compare(study_folder: Path) -> None:
    save_result(study_folder, result(["table3/without_patch_kd"], "t2"))
    save_result(study_folder, result(["table1/uhved"], "flair+t1"))
    tables, scores = read_tables(TABLES), read_study(study_folder).scores
    assert tables["table1"].modalities(scores) == ("t1ce", "t2", "t1+flair")
    assert tables["table2"].modalities(scores) == ("all",)
    assert tables["table3"].modalities(scores) == ("t2",)  # on T1ce the complete method was run for Table 1 alone
    assert tables["controls"].modalities(scores) == ()


def test_a_teacher_alone_is_shown(study_folder: Path) -> None:
    for path in (study_folder / "runs").glob("table*"):
        path.unlink()
    assert read_tables(TABLES)["table1"].modalities(read_study(study_folder).scores) == ("all",)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rows": ["table1/pkdr"]}, "table1: expected rows to be dict"),
        ({"notes": None}, "table1: expected notes to be list"),
        ({"references": ["table1/nobody"]}, "table1/nobody is neither in rows nor in teachers"),
        ({"published": {"table1/pkdr": {"t2": {"CO": 1.0}}}}, "expected columns among wt, tc, et, mean"),
    ],
)
def test_a_table_that_is_not_as_it_should_be_is_named(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    tables = read_json(TABLES)
    write_json(tmp_path / "tables.json", {**tables, "table1": {**tables["table1"], **change}})
    with pytest.raises(InputError, match=text):
        read_tables(tmp_path / "tables.json")


def test_tables_without_others_take_in_what_belongs_nowhere(tmp_path: Path) -> None:
    write_json(tmp_path / "tables.json", {"table1": read_json(TABLES)["table1"]})
    others = read_tables(tmp_path / "tables.json", ["hint"])["others"]
    assert isinstance(others, Table)
    assert others.rows == {"hint": "hint"}


def test_a_choice_of_sequences_has_a_name() -> None:
    assert modality_title("t2") == "T2"
    assert modality_title("t1+t1ce+flair") == "T1 + T1ce + FLAIR"
