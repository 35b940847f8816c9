from __future__ import annotations

import math

import pytest

from pkdr_monai.reporting.page import ABSENT, number, number_cell


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_is_no_number_is_a_dash_and_sorts_last(value: float | None) -> None:
    cell = number_cell(value)
    assert (cell.text, cell.value) == (ABSENT, "")


def test_number_sorts_by_all_of_its_digits() -> None:
    assert number_cell(0.123456, 2).value == "0.123456"
    assert number_cell(math.inf).value == "Infinity"  # as JavaScript reads it
    assert number(-1.5, 0) == "-2"
