"""The results of a study as pictures: every seed, every case, and what a gain costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pkdr_monai import DISCLAIMER
from pkdr_monai.files import atomic_write
from pkdr_monai.studies.results import COLUMNS, Scores
from pkdr_monai.studies.statistics import PairedTest, paired_test
from pkdr_monai.studies.study_results import StudyResults
from pkdr_monai.studies.tables import Table, modality_title

__all__ = [
    "CostPoint",
    "cost_name",
    "differences_name",
    "draw_cost",
    "draw_differences",
    "draw_scores",
    "gallery",
    "save_figure",
    "scores_name",
]

Array = npt.NDArray[np.float64]

INK, GREY, BLUE, ORANGE = "#222222", "#8a8a8a", "#0072B2", "#D55E00"  # after Okabe and Ito, for every eye
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000", "#8a8a8a")
MARKERS = "osD^vPX*"
TITLES = {"wt": "WT", "tc": "TC", "et": "ET", "mean": "mean of the three"}
ROW, FRAME = 0.36, 1.5  # inches: height of a row, and of title, axis and legend together
LINEAR, TICKS = 10, (-100, -10, -5, 0, 5, 10, 100)  # of differences, where a few cases are all or nothing
NARROWEST = 0.1  # of Dice: a panel that shows less would blow up what is nothing


@dataclass(frozen=True)
class CostPoint:
    """A method's gain over the reference beside its cost.

    Args:
        label: what the method is called.
        step: time of a training step, as a ratio to the reference's.
        test: mean Dice minus the reference's, with its interval.
    """

    label: str
    step: float
    test: PairedTest


def draw_scores(
    rows: Mapping[str, Scores], teachers: Mapping[str, Scores], title: str, reference: str | None = None
) -> Figure:
    """Draw the Dice of each method: a dot for each seed, a bar for their mean, a line for each teacher.

    Args:
        rows: the methods by their labels, from top to bottom.
        teachers: networks that see all four modalities, by their labels.
        title: of the figure.
        reference: label of the method that the others are compared with, drawn in grey.
    """
    figure, panels = _panels(len(rows), title)
    for column, axes in enumerate(panels):
        for row, (label, scores) in enumerate(rows.items()):
            colour = GREY if label == reference else BLUE
            seeds, mean = scores.seed_means[:, column], scores.mean[column]
            seed, bar = ("a seed", "mean of the seeds") if row == len(rows) - 1 else (None, None)
            axes.scatter(
                seeds, row + _fan(len(seeds)), s=26, color=colour, alpha=0.6, linewidths=0, zorder=3, label=seed
            )
            axes.plot([mean, mean], [row - 0.34, row + 0.34], color=colour, linewidth=2.4, zorder=4, label=bar)
        for line, (label, scores) in zip(cycle(("--", ":", "-.")), teachers.items(), strict=False):
            axes.axvline(scores.mean[column], color=ORANGE, linestyle=line, linewidth=1.3, label=label)
        left, right = axes.get_xlim()
        middle, half = (left + right) / 2, max(0.55 * (right - left), NARROWEST / 2)
        axes.set_xlim(middle - half, middle + half)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel("Dice")
    _name_rows(panels, list(rows))
    _legend(figure, panels[:1])
    return figure


def draw_differences(rows: Mapping[str, Array], title: str) -> Figure:
    """Draw how far each case is ahead of the reference: a dot a case, a bar for the middle half, a mark for the mean.

    Args:
        rows: for each method Dice minus the reference's, averaged over the seeds, ``(C, 4)``, from top to bottom.
        title: of the figure.
    """
    figure, panels = _panels(len(rows), title)
    for column, axes in enumerate(panels):
        axes.axvline(0, color=GREY, linewidth=1)
        for row, values in enumerate(rows.values()):
            _draw_cases(axes, row, 100 * values[:, column])
        unit = "points"
        if max(100 * np.abs(values[:, column]).max() for values in rows.values()) > 3 * LINEAR:
            axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.5)
            axes.set_xticks(TICKS, [f"{tick:d}" for tick in TICKS])
            axes.minorticks_off()
            unit += f", logarithmic beyond ±{LINEAR}"
        axes.set_xlabel(unit)
    _name_rows(panels, list(rows))
    _legend(figure, panels[:1])
    return figure


def draw_cost(points: Mapping[str, Sequence[CostPoint]], title: str, reference: str) -> Figure:
    """Draw the gain in mean Dice over the reference against the time of a training step.

    Args:
        points: the methods, for each panel's title.
        title: of the figure.
        reference: label of the method that gain and cost are measured against; it stands at (1, 0).
    """
    figure = _figure(max(5.0, 2.9 * len(points)), 4.2, title)
    panels = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
    labels = list(dict.fromkeys(point.label for panel in points.values() for point in panel))
    for axes, (heading, panel) in zip(panels, points.items(), strict=True):
        axes.axhline(0, color=GREY, linewidth=1)
        axes.plot(1, 0, "|", color=GREY, markersize=14, markeredgewidth=2, label=reference)
        for point in panel:
            style = labels.index(point.label) % len(PALETTE)
            gain = 100 * point.test.difference
            ends = [[max(0.0, gain - 100 * point.test.low)], [max(0.0, 100 * point.test.high - gain)]]
            axes.errorbar(point.step, gain, ends, color=PALETTE[style], linewidth=1.2)
            axes.scatter(
                point.step, gain, s=42, color=PALETTE[style], marker=MARKERS[style], label=point.label, zorder=3
            )
        axes.set_title(heading, fontsize=10, color=INK)
        axes.set_xlabel(f"time of a step, {reference} = 1")
        _tidy(axes)
    panels[0].set_ylabel("gain in mean Dice, points")
    _legend(figure, panels)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, atomically; equal figures give equal bytes."""
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10.5, color=INK, x=0.005, ha="left", fontweight="bold")
    figure.supxlabel(DISCLAIMER, fontsize=7, color=GREY, x=0.99, ha="right")
    return figure


def _panels(rows: int, title: str) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with one panel for each region and one for their mean."""
    figure = _figure(11, FRAME + ROW * max(rows, 2), title)
    panels = figure.subplots(1, len(COLUMNS), sharey=True)
    for axes, column in zip(panels, COLUMNS, strict=True):
        axes.set_title(TITLES[column], fontsize=10, color=INK)
        _tidy(axes)
    return figure, panels


def _draw_cases(axes: Axes, row: int, points: Array) -> None:
    """Draw one method's differences in points; the first row's artists are the legend's."""
    low, middle, high = np.quantile(points, [0.25, 0.5, 0.75])
    case, half, median, mean = ("a case", "middle half", "median", "mean") if row == 0 else [None] * 4
    axes.scatter(points, row + _scatter(len(points)), s=9, color=INK, alpha=0.45, linewidths=0, zorder=4, label=case)
    axes.plot([low, high], [row] * 2, color=BLUE, alpha=0.25, linewidth=11, solid_capstyle="butt", label=half)
    axes.plot([middle] * 2, [row - 0.2, row + 0.2], color=BLUE, linewidth=1.8, zorder=3, label=median)
    axes.plot(points.mean(), row, "D", color=ORANGE, markersize=5, zorder=5, label=mean)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Put the panels' legend below them, each label once."""
    found = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(
        found.values(), found.keys(), loc="outside lower left", ncols=4, frameon=False, fontsize=8, handlelength=1.6
    )


def _name_rows(panels: Sequence[Axes], labels: Sequence[str]) -> None:
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)


def _tidy(axes: Axes) -> None:
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0, colors=INK)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)


def _fan(count: int) -> Array:
    """Return small offsets that keep equal seeds apart, in their order from top to bottom."""
    return np.linspace(-0.18, 0.18, count) if count > 1 else np.zeros(1)


def _scatter(count: int) -> Array:
    """Return offsets that keep cases apart, always the same."""
    return np.random.default_rng(0).uniform(-0.26, 0.26, count)


COST_REFERENCE = "table1/unimodal"  # the cell that cost.json relates all others to


def gallery(tables: Iterable[Table], study: StudyResults) -> dict[str, Callable[[], Figure]]:
    """Return what draws each figure, by the name of its file without ``.png``."""
    figures: dict[str, Callable[[], Figure]] = {}
    for table in tables:
        for modality in table.modalities(study.scores):
            figures |= _of_scores(table, modality, study)
        figures |= _of_cost(table, study)
    return figures


def scores_name(table: Table, modality: str) -> str:
    """Return the name of the figure that shows every seed."""
    return f"{table.name}_{modality.replace('+', '_')}"


def differences_name(table: Table, modality: str) -> str:
    """Return the name of the figure that shows every case."""
    return f"{scores_name(table, modality)}_differences"


def cost_name(table: Table) -> str:
    """Return the name of the figure that shows gain beside cost."""
    return f"{table.name}_cost"


def _of_scores(table: Table, modality: str, study: StudyResults) -> dict[str, Callable[[], Figure]]:
    """Return the two figures of one table on one choice of modalities; without a reference, the first alone."""
    title = f"{table.title.split(':')[0]}, {modality_title(modality)}"
    rows = _found(table.rows, modality, study)
    teachers = _found(table.teachers, "all", study)
    base = study.scores.get((table.references[0], modality)) if table.references else None
    reference = table.rows.get(base.cell) if base else None
    figures: dict[str, Callable[[], Figure]] = {}
    if rows:
        scored = f"{title}: Dice on the {study.scored} cases"
        figures[scores_name(table, modality)] = partial(draw_scores, rows, teachers, scored, reference)
    if base and reference:
        differences = {
            label: scores.on(base.cases).case_means - base.on(scores.cases).case_means
            for label, scores in rows.items()
            if scores.cell in table.own and label != reference and set(scores.cases) & set(base.cases)
        }
        if differences:
            every_case = f"{title}: Dice of every {study.scored} case, ahead of {reference} (right) or behind (left)"
            figures[differences_name(table, modality)] = partial(draw_differences, differences, every_case)
    return figures


def _of_cost(table: Table, study: StudyResults) -> dict[str, Callable[[], Figure]]:
    if not study.cost or table.references[:1] != (COST_REFERENCE,):
        return {}
    panels: dict[str, list[CostPoint]] = {}
    for modality in table.modalities(study.scores):
        base = study.scores.get((COST_REFERENCE, modality))
        for label, scores in _found(table.rows, modality, study).items():
            if base and scores.cell in table.own and scores.cell in study.cost and scores.cell != COST_REFERENCE:
                common = set(scores.cases) & set(base.cases)
                if not common:
                    continue
                test = paired_test(*(each.on(common).case_means[:, COLUMNS.index("mean")] for each in (scores, base)))
                point = CostPoint(label, study.cost[scores.cell]["step"], test)
                panels.setdefault(modality_title(modality), []).append(point)
    title = f"{table.title.split(':')[0]}: gain against cost, with 95 % intervals over the cases"
    return {cost_name(table): partial(draw_cost, panels, title, table.rows[COST_REFERENCE])} if panels else {}


def _found(labels: Mapping[str, str], modality: str, study: StudyResults) -> dict[str, Scores]:
    """Return the scores of the cells that were run, by their labels."""
    return {label: study.scores[cell, modality] for cell, label in labels.items() if (cell, modality) in study.scores}
