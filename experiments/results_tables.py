"""Write the tables of a study on real scans into docs/results.md: `python -m experiments.results_tables`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from experiments.steps import ROOT
from pkdr_monai.files import atomic_write
from pkdr_monai.modalities import parse_modalities
from pkdr_monai.studies import read_study
from pkdr_monai.studies.results import Scores
from pkdr_monai.studies.statistics import compare
from pkdr_monai.studies.study_results import StudyResults
from pkdr_monai.studies.tables import (
    ET_BY_RULE,
    TITLES,
    comparison_table,
    et_by_rule,
    markdown_table,
    modality_order,
    modality_title,
    read_tables,
    without_empty_columns,
)

DOCUMENT = ROOT / "docs" / "results.md"
RESULTS, TABLES = ROOT / "experiments" / "results", ROOT / "experiments" / "tables.json"
REFERENCES: dict[str, tuple[str, ...]] = {
    "table1/unimodal": ("table1/", "table3/", "controls/"),
    "table1/protokd": ("table1/", "table3/", "controls/"),
    "table1/pkdr": ("table3/", "controls/"),
    "table1/plain_teacher": ("table2/", "bundle/teacher"),
    "controls/unimodal_instance_norm": ("controls/instance_norm",),
}
"""What is tested against what: of each reference, how the names of the methods begin that are compared with it."""


def main() -> int:
    """Write the tables again."""
    text = filled(DOCUMENT.read_text(encoding="utf-8"))
    with atomic_write(DOCUMENT) as file:
        file.write(text.encode())
    return 0


def filled(text: str) -> str:
    """Return a document with its tables filled: those of a study stand between two comments.

    The first is ``<!-- study: NAME -->`` or ``<!-- study: NAME, mean of t2,flair -->``, the second ``<!-- end -->``.
    """

    def fill(match: re.Match[str]) -> str:
        averaged = parse_modalities(match[3]) if match[3] else ()
        return f"{match[1]}\n\n" + "\n\n".join(tables(read_study(RESULTS / match[2]), averaged)) + f"\n\n{match[4]}"

    return re.sub(r"(<!-- study: ([\w-]+)(?:, mean of ([\w,]+))? -->).*?(<!-- end -->)", fill, text, flags=re.DOTALL)


def tables(study: StudyResults, averaged: Sequence[str] = ()) -> Iterable[str]:
    """Return, for each choice of modalities, a table of all methods that were run and their tests, or a sentence.

    Args:
        study: what was run.
        averaged: single modalities, such as ``["t2", "flair"]``, whose mean is tested too.
    """
    labels = labels_of(study)
    modalities = sorted({modality for _, modality in study.scores}, key=modality_order)
    for modality in modalities:
        yield _scores(study, modality, labels)
        yield from _tests(study.scores, modality, labels)
    if averaged:
        yield from _tests(over_modalities(study, averaged), ",".join(averaged), labels)
    if not modalities:
        yield "Nothing has been run yet."


def over_modalities(study: StudyResults, modalities: Sequence[str]) -> dict[tuple[str, str], Scores]:
    """Return each case's mean over what students of one method saw: of each modality its mean over the seeds.

    Args:
        study: with results of several modalities.
        modalities: such as ``["t1ce", "t2"]``.

    Returns:
        The scores, without seeds, by cell and ``"t1ce,t2"``, of the methods that were run on all of them.
    """
    name = ",".join(modalities)
    averaged = {}
    for cell in study.cells:
        found = [study.scores[cell, modality] for modality in modalities if (cell, modality) in study.scores]
        if len(found) == len(modalities):
            common = set(found[0].cases).intersection(*(scores.cases for scores in found))
            kept = [scores.on(common) for scores in found]
            dice, hd95 = (
                np.mean([getattr(scores, metric).mean(axis=0, keepdims=True) for scores in kept], axis=0)
                for metric in ("dice", "hd95")
            )
            averaged[cell, name] = replace(kept[0], modality=name, seeds=(), dice=dice, hd95=hd95, ruled=None)
    return averaged


def _tests(scores: Mapping[tuple[str, str], Scores], modality: str, labels: dict[str, str]) -> Iterable[str]:
    """Return the tests of :data:`REFERENCES`, each with a heading."""
    for reference, beginnings in REFERENCES.items():
        methods = [cell for cell in labels if cell.startswith(beginnings)]
        means = [each for each in compare(scores, methods, reference, (modality,)) if each.column == "mean"]
        if means:
            yield f"Tests against {labels[reference]}, {modality_title(modality)}, mean of the regions in points:"
            yield comparison_table(means, labels)


def _scores(study: StudyResults, modality: str, labels: dict[str, str]) -> str:
    header = [modality_title(modality), "seeds", "n", *TITLES]
    header += ["HD95 in mm, median", ET_BY_RULE]
    rows = []
    for cell, label in labels.items():
        scores = study.scores.get((cell, modality))
        if scores is not None:
            spread = scores.spread if scores.spread is not None else [None] * len(scores.mean)
            dice = [
                f"{mean:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")
                for mean, deviation in zip(scores.mean, spread, strict=True)
            ]
            seeds, cases = str(len(scores.seeds)), str(len(scores.cases))
            rows.append([label, seeds, cases, *dice, f"{np.median(scores.case_distances):.1f}", et_by_rule(scores)])
    return markdown_table(*without_empty_columns(header, rows))


def labels_of(study: StudyResults) -> dict[str, str]:
    """Return what each cell that was run is called, in the order of the paper's tables; one training is one row."""
    named: dict[str, str] = {}
    for table in read_tables(TABLES, study.cells).values():
        for cell, label in {**table.rows, **table.teachers}.items():
            named.setdefault(cell, label)
    shown: dict[str, str] = {}
    repeated: set[str] = set()
    for cell, label in named.items():
        if cell in study.cells and cell not in repeated:
            shown[cell] = label
            repeated |= {other for result in study.results if cell in result.cells for other in result.cells}
    return shown


if __name__ == "__main__":
    sys.exit(main())
