from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pkdr_monai.data.problems import Problem, errors_among, problems_table, refuse_errors
from pkdr_monai.errors import InputError

ERROR = Problem("b", "b/b_t1.nii", "has 2 NaN", "write it again")
WARNING = Problem("a", "a/a_t1.nii", "is dim", "look at it", "warning")


def test_errors_come_first_then_the_order_of_names() -> None:
    lines = problems_table([WARNING, ERROR, Problem("a", "a", "x", "y")]).splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [["error", "a"], ["error", "b"], ["warning", "a"]]


def test_long_texts_go_on_below_and_lose_no_word() -> None:
    what = " ".join(f"word{number}" for number in range(40))
    table = problems_table([Problem("a", "HGG/a/a_t1.nii", what, "do it")], width=100)
    assert max(map(len, table.splitlines())) <= 100
    assert all(f"word{number}" in table for number in range(40))


def test_long_paths_break_between_folders() -> None:
    table = problems_table([Problem("a", "HGG/a_very_long_folder_name/a_very_long_file.nii.gz", "x", "y")])
    assert "HGG/a_very_long_folder_name/ " in table
    assert "a_very_long_file.nii.gz" in table


def test_limit_counts_the_rest() -> None:
    assert problems_table([ERROR] * 5, limit=2).splitlines()[-1] == "... and 3 more"


def test_warnings_are_no_errors() -> None:
    assert errors_among([WARNING, ERROR]) == [ERROR]


def test_warnings_alone_are_logged_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        refuse_errors([WARNING], Path("data"))
    assert "1 warnings in data" in caplog.text
    assert "is dim" in caplog.text


def test_errors_are_refused_with_the_table_and_the_names_to_exclude() -> None:
    with pytest.raises(InputError, match=r"1 errors in data:\n(.*\n)*.*has 2 NaN(.*\n)*.*--exclude b$"):
        refuse_errors([WARNING, ERROR], Path("data"))


def test_no_problem_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    refuse_errors([], Path("data"))
    assert not caplog.records
