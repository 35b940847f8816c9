"""Read the learning curve's results, and make its table and its figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pkdr_monai.files import read_object
from pkdr_monai.studies.statistics import paired_test

__all__ = ["Point", "curve_table", "draw_curve", "gain", "read_curve"]

REGIONS = ("wt", "tc", "et")
STARTS = {
    "weights": "from the weights, half the steps",
    "weights_long": "from the weights, as many steps",
    "scratch": "from scratch",
}
COLOURS = {"weights": "#56b4e9", "weights_long": "#0072b2", "scratch": "#d55e00"}  # of Okabe and Ito
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Point:
    """The Dice of the test cases after one kind of training, over all of its folds.

    Args:
        start: one of ``STARTS``.
        cases: labelled cases that it had, of which a quarter chose the epoch.
        dice: Dice of each region of each test case.
    """

    start: str
    cases: int
    dice: Scores

    def mean(self, region: str) -> float:
        """Return the mean over the test cases."""
        return float(np.mean([scores[region] for scores in self.dice.values()]))

    def case_means(self, names: Sequence[str]) -> np.ndarray:
        """Return the mean over the regions of each case."""
        return np.array([np.mean([self.dice[name][region] for region in REGIONS]) for name in names])


def read_curve(folder: Path) -> list[Point]:
    """Read the results of a folder and put the folds of each point together."""
    points: dict[tuple[int, str], Scores] = {}
    for path in sorted(folder.glob("*.json")):
        result = read_object(path)
        dice = {case: scores["dice"] for case, scores in result["scores"].items()}
        points.setdefault((result["cases"], result["start"]), {}).update(dice)
    return [Point(start, cases, dice) for (cases, start), dice in sorted(points.items(), key=lambda item: item[0])]


def curve_table(points: Sequence[Point], zero: Scores) -> Iterator[str]:
    """Return the table's lines; ``zero`` is the Dice of the weights as they are."""
    yield (
        "| labelled cases | training | test cases | WT | TC | ET | mean | the weights as they are, mean on the same "
        "cases | over scratch (95 % interval), p |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    by_place = {(point.cases, point.start): point for point in points}
    for point in points:
        other = by_place.get((point.cases, "scratch"))
        dice = [point.mean(region) for region in REGIONS]
        before = Point("weights", 0, {case: zero[case] for case in point.dice})
        means = [*dice, np.mean(dice), np.mean([before.mean(region) for region in REGIONS])]
        cells = [str(point.cases), STARTS[point.start], str(len(point.dice)), *(f"{value:.3f}" for value in means)]
        over = gain(point, other) if point.start != "scratch" and other else ""
        yield f"| {' | '.join([*cells, over])} |"


def draw_curve(points: Sequence[Point], zero: Scores) -> Figure:
    """Draw the mean Dice of each region over the number of labelled cases."""
    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    for axes, region in zip(figure.subplots(1, len(REGIONS), sharey=True), REGIONS, strict=True):
        axes.axhline(
            Point("weights", 0, zero).mean(region), color="0.6", linestyle=":", label="the weights as they are"
        )
        for start, name in STARTS.items():
            found = [(point.cases, point.mean(region)) for point in points if point.start == start]
            if found:
                axes.plot(*zip(*found, strict=True), marker="o", color=COLOURS[start], label=name)
        axes.set(title=region.upper(), xlabel="labelled cases", xticks=sorted({point.cases for point in points}))
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set(ylabel="Dice, mean of the test cases", ylim=(0, 1))
    figure.axes[0].legend(frameon=False, fontsize=7, loc="lower right")
    return figure


def gain(point: Point, other: Point) -> str:
    """Return the difference of two means over the cases that both have, with its interval and p."""
    names = sorted(point.dice.keys() & other.dice.keys())
    test = paired_test(point.case_means(names), other.case_means(names))
    return f"{test.difference:+.3f} ({test.low:+.3f} to {test.high:+.3f}), {test.p:.2g}"
