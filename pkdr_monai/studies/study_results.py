"""The results of a study that may stand in one table, with its settings and what the methods cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json
from pkdr_monai.studies.results import Result, Scores, group_scores, read_results

__all__ = ["StudyResults", "read_study"]

SCORED = ("test", "validation")
COST = ("step", "memory")


@dataclass(frozen=True)
class StudyResults:
    """Results that may stand in one table.

    Args:
        name: of the study.
        cohort: whose images: ``"kind"`` and what else describes them.
        budget: what all trainings have in common, such as ``"max_epochs"``.
        split_hash: hash of which case is in which section.
        cases: how many cases are for ``"training"``, ``"validation"`` and ``"test"``.
        scored: which of them were scored, ``"test"`` or ``"validation"``.
        results: one for each training and evaluation.
        scores: the same by cell and modality.
        cost: for each cell the time of a ``"step"`` and the ``"memory"``, as ratios to ``table1/unimodal``.
        cost_environment: where those ratios were measured.
        folds: the same as ``cases`` for each fold; empty where there is a single split.
    """

    name: str
    cohort: Mapping[str, Any]
    budget: Mapping[str, Any]
    split_hash: str
    cases: Mapping[str, int]
    scored: str
    results: tuple[Result, ...]
    scores: Mapping[tuple[str, str], Scores]
    cost: Mapping[str, Mapping[str, float]]
    cost_environment: Mapping[str, Any]
    folds: tuple[Mapping[str, int], ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """The experiments that have a result, in alphabetical order."""
        return tuple(sorted({cell for cell, _ in self.scores}))


def read_study(folder: str | Path) -> StudyResults:
    """Read a study: ``study.json``, every ``runs/*.json`` and, where it is there, ``cost.json``.

    Args:
        folder: of the study.

    Raises:
        InputError: when a file is absent, truncated or not what it should be, or results do not belong together.
    """
    path = Path(folder) / "study.json"
    record = read_json(path)
    _check(path, record)
    results = read_results(folder)
    for result in results:
        _check_division(result, record, path)
    cost = _read_cost(Path(folder) / "cost.json")
    return StudyResults(
        **{name: record[name] for name in ("name", "cohort", "budget", "split_hash", "cases", "scored")},
        folds=tuple(fold["cases"] for fold in record.get("folds", ())),
        results=results,
        scores=group_scores(results),
        cost=_shared(cost["cells"], results),
        cost_environment=cost["environment"],
    )


def _check_division(result: Result, record: Mapping[str, Any], path: Path) -> None:
    """Refuse a result of another split of the cases, or of a fold that the study does not have."""
    folds = record.get("folds") or [record]
    known = result.fold is None if "folds" not in record else result.fold in range(len(folds))
    expected = folds[result.fold or 0]["split_hash"] if known else None
    if result.split_hash != expected:
        of = "" if result.fold is None else f" in fold {result.fold}"
        raise InputError(
            f"{result.path} has the split of cases {result.split_hash!r}{of}, but {path} has "
            f"{expected!r}: keep the results of each split in a folder of its own."
        )


def _check(path: Path, record: Any) -> None:
    kinds = {"name": str, "cohort": dict, "budget": dict, "split_hash": str, "cases": dict, "scored": str}
    for name, kind in kinds.items():
        value = record.get(name) if isinstance(record, dict) else None
        if not isinstance(value, kind):
            raise InputError(
                f"{path}: expected {name} to be {kind.__name__}, got {value!r}. Repair it or write it again."
            )
    folds = record.get("folds", [])
    if not isinstance(folds, list) or not all(
        isinstance(fold, dict) and isinstance(fold.get("split_hash"), str) and isinstance(fold.get("cases"), dict)
        for fold in folds
    ):
        raise InputError(f"{path}: expected folds to be a list of split_hash and cases. Run the study again.")
    if record["scored"] not in SCORED:
        raise InputError(f"{path}: expected scored to be {' or '.join(SCORED)}, got {record['scored']!r}. Repair it.")


def _read_cost(path: Path) -> dict[str, Any]:
    """Read the ratios of time and memory, or return none where they were not measured."""
    if not path.exists():
        return {"environment": {}, "cells": {}}
    record = read_json(path)
    if not isinstance(record, dict) or not all(isinstance(record.get(key), dict) for key in ("environment", "cells")):
        raise InputError(f"{path}: expected environment and cells. Repair it, or delete it and measure again.")
    for cell, ratios in record["cells"].items():
        for name in COST:
            value = ratios.get(name) if isinstance(ratios, dict) else None
            if not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise InputError(f"{path}: {cell}: expected a ratio above 0 for {name}, got {value!r}. Measure again.")
    return record


def _shared(cost: Mapping[str, Mapping[str, float]], results: Sequence[Result]) -> dict[str, Mapping[str, float]]:
    """Return the cost also of the cells that have their training in common with one that was measured."""
    shared = dict(cost)
    for result in results:
        measured = next((cell for cell in result.cells if cell in cost), None)
        if measured is not None:
            shared |= {cell: cost[measured] for cell in result.cells if cell not in cost}
    return shared
