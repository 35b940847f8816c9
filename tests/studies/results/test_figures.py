"""Every seed and every case is a point of a picture, where it belongs."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from pkdr_monai.studies import Scores, read_study
from pkdr_monai.studies.figures import CostPoint, draw_cost, draw_differences, draw_scores, save_figure
from pkdr_monai.studies.statistics import PairedTest


def _points(figure: Figure, panel: int) -> np.ndarray:
    """Return the positions of all dots of one panel, ``(N, 2)``."""
    dots = [
        np.asarray(each.get_offsets()) for each in figure.axes[panel].collections if isinstance(each, PathCollection)
    ]
    return np.concatenate(dots)


@pytest.fixture
def rows(study_folder: Path) -> dict[str, Scores]:
    scores = read_study(study_folder).scores
    return {name: scores[f"table1/{name}", "t2"] for name in ("unimodal", "protokd", "pkdr")}


def test_a_dot_is_drawn_for_every_seed(rows: dict[str, Scores], study_folder: Path) -> None:
    teachers = {"teacher": read_study(study_folder).scores["bundle/teacher", "all"]}
    figure = draw_scores(rows, teachers, "title", "unimodal")
    assert len(figure.axes) == 4
    for panel, axes in enumerate(figure.axes):
        points = _points(figure, panel)
        assert points[:, 0] == pytest.approx(np.concatenate([each.seed_means[:, panel] for each in rows.values()]))
        assert np.round(points[:, 1]).tolist() == [row for row in range(3) for _ in range(3)]
        lines = [line.get_xdata() for line in axes.lines]
        for value in (*(each.mean[panel] for each in rows.values()), teachers["teacher"].mean[panel]):
            assert any(np.allclose(line, value) for line in lines)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(rows)


def test_a_panel_shows_a_tenth_of_dice_at_least(rows: dict[str, Scores]) -> None:
    one = rows["pkdr"]
    same = Scores(one.cell, one.modality, one.seeds, one.cases, np.full_like(one.dice, 0.5), one.hd95)
    for axes in draw_scores({"pkdr": same}, {}, "title").axes:
        left, right = axes.get_xlim()
        assert (left + right) / 2 == pytest.approx(0.5)
        assert right - left == pytest.approx(0.1)


def test_a_dot_is_drawn_for_every_case(rows: dict[str, Scores]) -> None:
    differences = {
        name: scores.case_means - rows["unimodal"].case_means for name, scores in rows.items() if name != "unimodal"
    }
    figure = draw_differences(differences, "title")
    for panel in range(4):
        points = _points(figure, panel)
        assert points[:, 0] == pytest.approx(np.concatenate([100 * each[:, panel] for each in differences.values()]))
        assert np.round(points[:, 1]).tolist() == [0] * 6 + [1] * 6


def test_the_axis_is_logarithmic_only_where_cases_are_far_apart() -> None:
    differences = np.full((5, 4), 0.02)
    differences[0, 2] = -1.0
    figure = draw_differences({"method": differences}, "title")
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "linear", "symlog", "linear"]


def test_gain_stands_above_cost() -> None:
    panel = [CostPoint(f"method {n}", 1 + 0.1 * n, PairedTest(0.01 * n, 0.0, 0.02 * n, 0.5, 1)) for n in range(12)]
    figure = draw_cost({"T1": panel[:3], "T2": panel}, "title", "Unimodal")
    assert [axes.get_title() for axes in figure.axes] == ["T1", "T2"]
    assert len(_points(figure, 0)) == 3
    assert _points(figure, 1) == pytest.approx(np.array([(1 + 0.1 * n, n) for n in range(12)]))


@pytest.mark.parametrize("end", [float("nan"), 0.1 + 1e-12, 0.1 - 1e-12])
def test_an_interval_without_width_is_drawn(end: float) -> None:
    figure = draw_cost({"T1": [CostPoint("method", 1.1, PairedTest(0.1, end, end, 1.0, 1))]}, "title", "Unimodal")
    assert len(_points(figure, 0)) == 1


def test_a_figure_is_a_picture_that_is_written_alike_again(rows: dict[str, Scores], tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        save_figure(draw_scores(rows, {}, "title"), tmp_path / name)
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert content.startswith(b"\x89PNG")
    assert (width, height) == (1650, round(150 * (1.5 + 0.36 * 3)))
    assert len(content) > 10_000


def test_every_picture_says_what_it_is_not(rows: dict[str, Scores]) -> None:
    text = draw_scores(rows, {}, "title").get_supxlabel()
    assert text == "Research software, not a medical device."
