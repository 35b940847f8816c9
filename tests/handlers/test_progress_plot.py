"""The picture is drawn when it is worth drawing."""

from __future__ import annotations

from pathlib import Path

from pkdr_monai.handlers import ProgressPlot
from pkdr_monai.handlers.progress import draw_history

PNG = b"\x89PNG"


def test_the_finished_run_has_its_picture(make_run, tmp_path: Path) -> None:
    run = make_run()
    ProgressPlot(tmp_path / "progress.png", "student").attach(run.trainer)
    run.go(2)
    assert (tmp_path / "progress.png").read_bytes().startswith(PNG)


def test_short_epochs_are_not_spent_on_drawing(make_run, tmp_path: Path, monkeypatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr("pkdr_monai.handlers.progress.draw_history", lambda rows, path, title: drawn.append(len(rows)))
    run = make_run()
    ProgressPlot(tmp_path / "progress.png").attach(run.trainer)
    run.go(5)
    assert drawn == [1, 5]


def test_rows_without_a_validation_are_drawn_too(tmp_path: Path) -> None:
    draw_history([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.4, "val_mean_dice": 0.1}], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
