"""Each epoch is one row, with every part of the loss under its name."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError


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


@pytest.mark.parametrize("content", ["epoch,loss\n1,half\n", "loss\n1\n", "epoch,loss\n1,2,3\n", "\x00\x80"])
def test_a_damaged_history_is_named_when_a_run_goes_on(make_run, tmp_path: Path, content: str) -> None:
    make_run().go(2)
    (tmp_path / "run/history.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"history\.csv is not a history"):
        make_run(resume=True).go(3)
    (tmp_path / "run/history.csv").unlink()
    make_run(resume=True).go(3)
    assert [row["epoch"] for row in _rows(tmp_path / "run/history.csv")] == ["3"]
