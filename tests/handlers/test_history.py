"""Each epoch is one row, with every part of the loss under its name."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_holds_parts_metrics_rate_and_time(make_run, tmp_path: Path) -> None:
    make_run().go(4)
    rows = _rows(tmp_path / "run/history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert set(rows[0]) == {"epoch", "loss", "near", "far", "val_mean_dice", "learning_rate", "seconds"}
    for row in rows:
        assert float(row["loss"]) == pytest.approx(3 * float(row["near"]), rel=1e-4)
        assert float(row["far"]) == pytest.approx(2 * float(row["near"]), rel=1e-4)
    assert [row["val_mean_dice"] for row in rows] == ["", "1", "", "0.333333"]


def test_the_rate_is_the_one_that_the_epoch_trained_with(make_run, tmp_path: Path) -> None:
    make_run().go(3)
    rates = [float(row["learning_rate"]) for row in _rows(tmp_path / "run/history.csv")]
    assert rates == pytest.approx([0.1, 0.09, 0.081])


def test_a_resumed_run_continues_the_rows_without_a_gap_or_a_repeat(make_run, tmp_path: Path) -> None:
    make_run("whole").go(4)
    make_run("broken").go(2)
    extra = tmp_path / "broken/history.csv"
    extra.write_text(extra.read_text() + "3,9,9,9,,9,9\n")  # written, but killed before the checkpoint of epoch 3
    make_run("broken", resume=True).go(4)
    whole, broken = _rows(tmp_path / "whole/history.csv"), _rows(extra)
    for row in (*whole, *broken):
        del row["seconds"]
    assert broken == whole
