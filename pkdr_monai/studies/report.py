"""The report of a study: ``README.md`` with its figures, written again from the results at any time."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pkdr_monai import DISCLAIMER
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write
from pkdr_monai.studies.figures import cost_name, differences_name, gallery, save_figure, scores_name
from pkdr_monai.studies.results import Result
from pkdr_monai.studies.statistics import SIGNIFICANT, Comparison, compare, detectable_difference
from pkdr_monai.studies.study_results import StudyResults, read_study
from pkdr_monai.studies.tables import (
    OTHERS,
    Table,
    comparison_table,
    folded,
    markdown_table,
    modality_title,
    published_table,
    read_tables,
    scores_table,
)

__all__ = ["facts_table", "render_tables", "report_text", "runs_table", "write_report"]

SCORING = {
    "nested": "as the label map holds them: ET is part of TC, and TC of WT",
    "channels": "each output cut at 0.5 by itself, not as the label map holds them",
}
WEIGHTS = {"best": "of the best validation", "last": "of the last epoch"}


def facts_table(study: StudyResults) -> str:
    """Return cohort, split, budget, seeds, hardware and software as a table of two columns."""
    environments = [result.environment for result in study.results]
    sizes = _sizes(study.cases)
    facts = {
        "cohort": _plain(study.cohort),
        "cases": f"{sizes}; split {study.split_hash[:12]}",
        "folds": "; ".join(f"{number}: {_sizes(fold)}" for number, fold in enumerate(study.folds)),
        "scored": f"the {study.scored} cases" + (", those of all folds pooled" if study.folds else ""),
        "regions": "; ".join(sorted({SCORING[result.scoring] for result in study.results})),
        "weights": ", ".join(sorted({WEIGHTS.get(r.checkpoint, r.checkpoint) for r in study.results})),
        "budget": _plain(study.budget),
        "seeds": ", ".join(str(seed) for seed in sorted({result.seed for result in study.results})),
        "results": f"{len(study.results)} evaluations",
        "hardware": "; ".join(sorted({_hardware(environment) for environment in environments})),
        "software": _software(environments),
        "cost measured on": _hardware(study.cost_environment) if study.cost else "",
    }
    rows = [f"| {name} | {fact.replace('|', '/')} |" for name, fact in facts.items() if fact]
    return "\n".join(["| what | which |", "|---|---|", *rows])


def runs_table(study: StudyResults) -> str:
    """Return one row for each training and evaluation: what it serves, how long it took, and which settings it had."""
    header = ["run", "sees", "seed", "best epoch", "parameters, million", "training, min", "peak memory, MiB"]
    rows = [
        [
            ", ".join(result.cells),
            result.modality,
            str(result.seed) if result.fold is None else f"{result.seed}, fold {result.fold}",
            f"{'-' if result.best_epoch is None else result.best_epoch} of {result.epochs}",
            f"{result.parameters / 1e6:.2f}",
            f"{result.training_seconds / 60:.1f}",
            f"{result.peak_memory_mib:.0f}",
            result.config_hash[:8],
            (result.teacher or "-")[:8],
        ]
        for result in sorted(study.results, key=_order)
    ]
    return markdown_table([*header, "settings", "teacher's settings"], rows)


def _order(result: Result) -> tuple[tuple[str, ...], str, int, int]:
    return result.cells, result.modality, result.seed, result.fold or 0


def _sizes(cases: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {section}" for section, count in cases.items())


def _plain(values: Mapping[str, Any]) -> str:
    """Return settings as ``name: value`` with semicolons between them."""
    return "; ".join(f"{name}: {_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def _hardware(environment: Mapping[str, Any]) -> str:
    parts = [str(environment.get("device", "unknown"))]
    parts += [f"{name}: {environment[name]}" for name in ("threads", "processes") if name in environment]
    return ", ".join(parts)


def _software(environments: Iterable[Mapping[str, Any]]) -> str:
    """Return every version that was in use; more than one of a package where results were measured with several."""
    versions: dict[str, set[str]] = {}
    for environment in environments:
        for name in environment.keys() - {"device", "threads", "processes"}:
            versions.setdefault(name, set()).add(str(environment[name]))
    return ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in sorted(versions.items()))


ORIGIN = "<!-- Written from study.json, runs/, cost.json and tables.json: change those, not this. -->"
SYNTHETIC = "The cases are synthetic: scores on them compare methods and say nothing about patients."
VALIDATION = "Scored are validation cases, which also chose the epoch of each network: the scores are too high."
NOTHING_RUN = "Nothing of this table has been run."

READING = """\
- **Dice** lies between 0 and 1. It is averaged over the cases; then mean ± sample standard deviation over the seeds,
  the latter from two seeds on. Fewer than three seeds are marked: they say little about another training.
- **HD95** is the 95th percentile of the distance between the surfaces, in mm, averaged over the three regions: its mean
  and its median over the cases.
- A region that is **empty** in label and prediction has Dice 1 and HD95 0. One that is empty in one of them has Dice 0
  and the diagonal of the volume as HD95.
- **Step** and **memory** are the time and the peak memory of a training step, as ratios to Unimodal's, measured side by
  side.
- **Published** is the paper's mean Dice on BraTS 2018. It comes from other cases, another split and a budget of 1000
  epochs: our figures are not comparable with it. Rows of one table here are comparable with each other.
- **Tests.** The Dice of each case is averaged over the seeds; two methods are compared over the cases in pairs
  (Wilcoxon's signed-rank test, two-sided). The difference is in points, 100 times Dice, with a 95 % bootstrap interval
  over the cases. p is corrected after Holm over all tests of a table against one reference, every choice of modalities,
  region and mean; "better" and "worse" stand for a corrected p below 0.05. The test is about most cases, the interval
  about their mean: where a few cases are all or nothing, as without any enhancing tumour, the two can differ. Both take
  the trained networks as they are. Whether another training comes out alike is what "ahead in" says: in how many seeds
  the mean is above the reference's.
- **Power.** n is the number of cases that both methods were tested on. "80 % power from" is the smallest true mean
  difference, in points, that a single test of n such cases shows in four of five studies, from the spread of the
  paired differences; after Holm's correction it takes more. A smaller difference may be there and not be seen."""

FOLDS = """\
- **Folds.** Every case is tested once, by the networks of the fold that trained without it, and the test cases of all
  folds are pooled. "Ahead in" also says in how many folds the mean over cases and seeds is above the reference's. A
  method of which some folds have no result yet is shown, and tested, on the cases that there are."""


def write_report(folder: str | Path, tables_file: str | Path) -> list[Path]:
    """Write ``README.md`` and ``figures/*.png`` of a study from its results.

    Args:
        folder: of the study, with ``study.json`` and ``runs/``.
        tables_file: ``experiments/tables.json``.

    Returns:
        The files written, README.md first.

    Raises:
        InputError: when a file is not what it should be, or results do not belong together.
    """
    folder = Path(folder)
    study, tables, figures = _load(folder, tables_file)
    paths = {folder / "figures" / f"{name}.png": draw for name, draw in figures.items()}
    for path, draw in paths.items():
        save_figure(draw(), path)
    readme = folder / "README.md"
    with atomic_write(readme) as file:
        file.write(_text(study, tables, figures).encode(errors="backslashreplace"))
    return [readme, *paths]


def report_text(folder: str | Path, tables_file: str | Path) -> str:
    """Return the text of the study's ``README.md``, always the same for the same results."""
    return _text(*_load(folder, tables_file))


def render_tables(folder: str | Path, tables_file: str | Path, only: Collection[str] | None = None) -> str:
    """Return the scores of a study for a terminal: its tables, without tests and figures.

    Args:
        folder: of the study.
        tables_file: ``experiments/tables.json``.
        only: names of the tables to show, such as ``["table1"]``; all that have results by default.

    Raises:
        InputError: as :func:`write_report`, and when a table of that name is unknown.
    """
    study, tables, _ = _load(folder, tables_file)
    unknown = sorted(set(only or ()) - tables.keys())
    if unknown:
        raise InputError(f"unknown table {unknown[0]!r}: choose among {', '.join(tables)}.")
    parts = [f"Dice on the {study.scored} cases of {study.name!r}: mean over the cases ± deviation over the seeds"]
    for table in tables.values():
        if only is None or table.name in only:
            for modality in table.modalities(study.scores):
                parts.append(f"{table.title}; {modality_title(modality)}\n\n{scores_table(table, modality, study)}")
    if len(parts) == 1:
        parts.append("Nothing has been run yet.")
    return "\n\n".join([*parts, DISCLAIMER])


def _load(
    folder: str | Path, tables_file: str | Path
) -> tuple[StudyResults, dict[str, Table], Mapping[str, Callable[[], Figure]]]:
    study = read_study(folder)
    tables = read_tables(tables_file, study.cells)
    return study, tables, gallery(tables.values(), study)


def _text(study: StudyResults, tables: Mapping[str, Table], figures: Collection[str]) -> str:
    parts = [f"# Results: {study.name}", ORIGIN]
    parts += [SYNTHETIC] if study.cohort.get("kind") == "phantom" else []
    parts += [VALIDATION] if study.scored == "validation" else []
    reading = [READING, FOLDS] if study.folds else [READING]
    parts += ["## What was run", facts_table(study), "## How to read the tables", "\n".join(reading)]
    for table in tables.values():
        if table.name != OTHERS or table.modalities(study.scores):
            parts += _section(table, study, figures)
    if study.results:
        parts += ["## Every run", folded(f"{len(study.results)} evaluations", runs_table(study))]
    return "\n\n".join([*parts, DISCLAIMER]) + "\n"


def _section(table: Table, study: StudyResults, figures: Collection[str]) -> list[str]:
    """Return the paragraphs of one table: notes, scores and figures, tests, cost, and what was published."""
    parts = [f"## {table.title}"]
    parts += (
        ["\n".join(textwrap.fill(f"- {note}", 120, subsequent_indent="  ") for note in table.notes)]
        if table.notes
        else []
    )
    modalities = table.modalities(study.scores)
    if not modalities:
        return [*parts, NOTHING_RUN]
    for modality in modalities:
        heading = modality_title(modality)
        parts += [f"### {heading[0].upper()}{heading[1:]}", scores_table(table, modality, study)]
        parts += _image(scores_name(table, modality), f"Dice of every seed, {heading}", figures)
        parts += _image(differences_name(table, modality), f"difference of every case, {heading}", figures)
    for reference in table.references:
        parts += _tests(table, reference, modalities, study)
    parts += _image(cost_name(table), "gain in Dice against the time of a training step", figures)
    if table.published:
        parts.append(folded("Published, BraTS 2018: Dice in points, WT / TC / ET / mean", published_table(table)))
    return parts


def _tests(table: Table, reference: str, modalities: Collection[str], study: StudyResults) -> list[str]:
    """Return the tests against one reference: the means of the regions, and, folded, each region."""
    labels = {**table.rows, **table.teachers}
    parts = [f"### Tests against {labels[reference]}"]
    comparisons = compare(study.scores, table.own, reference, tuple(modalities))
    if not comparisons:
        return [*parts, f"None: they need {labels[reference]} and another method on the same modalities."]
    parts += _warning(max(each.cases for each in comparisons), len(comparisons))
    means = [each for each in comparisons if each.column == "mean"]
    parts.append(comparison_table(means, labels))
    parts += _power(means, study)
    regions = [each for each in comparisons if each.column != "mean"]
    return [*parts, folded("Each region", comparison_table(regions, labels))]


def _power(means: Collection[Comparison], study: StudyResults) -> list[str]:
    """Return a sentence on what all cases of the study could show, where some are not tested yet."""
    cases = study.cases[study.scored]
    spreads = [each.test.spread for each in means if each.cases < cases and not math.isnan(each.test.spread)]
    if not spreads or math.isnan(detectable_difference(max(spreads), cases)):
        return []
    low, high = (f"{100 * detectable_difference(spread, cases):.1f}" for spread in (min(spreads), max(spreads)))
    points = low if low == high else f"{low} to {high}"
    return [
        f"With all {cases} {study.scored} cases and the spread seen so far, a single test has 80 % power from {points} "
        "points on."
    ]


def _warning(cases: int, tests: int) -> list[str]:
    """Return a sentence where no outcome whatever could be significant: all cases on one side give p = 2 / 2^cases."""
    smallest = 2.0 ** (1 - cases)
    if smallest * tests < SIGNIFICANT:
        return []
    return [
        f"With {cases} cases no p is below {smallest:.2g}: after correction for {tests} tests none can be below 0.05."
    ]


def _image(name: str, alternative: str, figures: Collection[str]) -> list[str]:
    return [f"![{alternative}](figures/{name}.png)"] if name in figures else []
