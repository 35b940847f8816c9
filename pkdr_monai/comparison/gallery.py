"""Which figures the tables of a study have, each drawn only when it is called for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from matplotlib.figure import Figure

from pkdr_monai.comparison.figures import CostPoint, draw_cost, draw_differences, draw_scores
from pkdr_monai.comparison.scores import COLUMNS, Scores
from pkdr_monai.comparison.statistics import paired_test
from pkdr_monai.comparison.study import Study
from pkdr_monai.comparison.tables import Table, modality_title

__all__ = ["cost_name", "differences_name", "gallery", "scores_name"]

COST_REFERENCE = "table1/unimodal"  # the cell that cost.json relates all others to


def gallery(tables: Iterable[Table], study: Study) -> dict[str, Callable[[], Figure]]:
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


def _of_scores(table: Table, modality: str, study: Study) -> dict[str, Callable[[], Figure]]:
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


def _of_cost(table: Table, study: Study) -> dict[str, Callable[[], Figure]]:
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


def _found(labels: Mapping[str, str], modality: str, study: Study) -> dict[str, Scores]:
    """Return the scores of the cells that were run, by their labels."""
    return {label: study.scores[cell, modality] for cell, label in labels.items() if (cell, modality) in study.scores}
