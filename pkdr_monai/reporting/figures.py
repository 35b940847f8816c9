"""The figures of a report, each drawn for a light and for a dark page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pkdr_monai.drawing import REGION_COLOURS
from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.run import METRICS, Scores

if TYPE_CHECKING:
    from pkdr_monai.reporting.computed import Reliability  # which loads torch

__all__ = ["Picture", "box_plots", "data_uri", "reliability_curves", "training_curves"]

CYCLE = ("#0f8bc4", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#7a6ff0", "#8c8c8c")
INK = {"light": "#2b2f36", "dark": "#d5d9e0"}
NO_PART = {"epoch", "loss", "learning_rate", "seconds"}


@dataclass(frozen=True)
class Picture:
    """A figure as two images for an HTML page, and what it shows for those who do not see it."""

    light: str
    dark: str
    alt: str


def box_plots(scores: Scores) -> Picture:
    """Draw every metric by region: the box holds the middle half of the cases, a dot is a case."""

    def draw(figure: Figure) -> None:
        for axes, (name, cases) in zip(_panels(figure, len(scores)), scores.items(), strict=True):
            metric = METRICS[name]
            table = np.array(list(cases.values()), dtype=float)
            columns = [column[np.isfinite(column)] for column in table.T]
            axes.boxplot(columns, widths=0.5, showfliers=False, medianprops={"color": "C0", "linewidth": 2})
            for place, (region, column) in enumerate(zip(REGIONS, columns, strict=True), start=1):
                shift = np.random.default_rng(0).uniform(-0.14, 0.14, column.size)
                axes.scatter(place + shift, column, s=14, alpha=0.55, color=REGION_COLOURS[region], linewidths=0)
            axes.set_xticks(range(1, len(REGIONS) + 1), [region.upper() for region in REGIONS])
            axes.set_title(f"{metric.title} ({metric.unit})" if metric.unit else metric.title)
            if name == "dice":
                axes.set_ylim(-0.02, 1.02)

    titles = " and ".join(METRICS[name].title for name in scores)
    return _drawn(draw, (4.6 * len(scores), 3.3), f"Box plots of {titles} by region; the table beside has the numbers.")


def training_curves(rows: Sequence[Mapping[str, float]]) -> Picture:
    """Draw a training by epoch: the loss, its parts, the validation Dice."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    dice = [name for name in names if "dice" in name]
    parts = [name for name in names if name not in NO_PART and not name.startswith("val_")]
    panels = {"loss": ["loss"], "parts of the loss, unweighted": parts, "validation Dice": dice}
    if len(parts) < 2:  # the loss has drawn it
        del panels["parts of the loss, unweighted"]
    if not dice:
        del panels["validation Dice"]

    def draw(figure: Figure) -> None:
        for axes, (title, columns) in zip(_panels(figure, len(panels)), panels.items(), strict=True):
            for name in columns:
                points = [(row["epoch"], row[name]) for row in rows if name in row]
                axes.plot(*zip(*points, strict=True), label=_label(name), marker="." if len(points) < 15 else "")
            axes.set_title(title)
            axes.set_xlabel("epoch")
            if len(columns) > 1:
                axes.legend(frameon=False, fontsize=8)
            axes.set_ylim(*((0, 1) if columns == dice else (min(0, axes.get_ylim()[0]), None)))

    return _drawn(draw, (3.9 * len(panels), 3.2), f"Curves by epoch of {', '.join(panels)}.")


def reliability_curves(regions: Mapping[str, Reliability]) -> Picture:
    """Draw how often voxels of a probability are of the region; on the diagonal, probabilities mean what they say."""

    def draw(figure: Figure) -> None:
        (axes,) = _panels(figure, 1)
        axes.plot([0, 1], [0, 1], color="0.55", linestyle="--", linewidth=1, label="as it should be")
        for region, curve in regions.items():
            points = [
                point for point in zip(curve.probability, curve.frequency, strict=True) if not math.isnan(point[0])
            ]
            axes.plot(*zip(*points, strict=True), marker="o", ms=4, label=region.upper(), color=REGION_COLOURS[region])
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="part that is of the region")
        axes.set_aspect("equal")
        axes.legend(frameon=False, fontsize=8)

    return _drawn(draw, (4.2, 4.0), "Reliability curves by region; the table beside has the numbers.")


def data_uri(kind: str, content: bytes) -> str:
    """Return content as a link that holds it.

    Example:
        >>> data_uri("text/plain", b"a")
        'data:text/plain;base64,YQ=='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _label(name: str) -> str:
    """Return what a column of the history is called: ``patch kd``, or ``TC`` for ``val_mean_dice_tc``."""
    _, dice, region = name.rpartition("dice")
    return (region.strip("_").upper() or "mean") if dice else name.replace("_", " ")


def _panels(figure: Figure, count: int) -> Iterable[Axes]:
    panels = np.atleast_1d(figure.subplots(1, count))
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
    return panels


def _drawn(draw: Callable[[Figure], None], size: tuple[float, float], alt: str) -> Picture:
    images = {}
    for mode, ink in INK.items():
        colours: dict[Any, Any] = dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), ink
        )
        boxes: dict[Any, Any] = {f"boxplot.{part}props.color": ink for part in ("box", "whisker", "cap")}
        fonts: dict[Any, Any] = {"font.size": 9, "axes.titlesize": 10, "text.parse_math": False}
        output: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "pkdr"}
        cycle: dict[Any, Any] = {"axes.prop_cycle": f"cycler('color', {list(CYCLE)})"}
        with rc_context({**colours, **boxes, **fonts, **cycle, **output}):
            figure = Figure(figsize=size, layout="constrained")
            FigureCanvasSVG(figure)
            draw(figure)
            file = io.BytesIO()
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        images[mode] = data_uri("image/svg+xml", file.getvalue())
    return Picture(images["light"], images["dark"], alt)
