"""What was run, on what and with what: the facts without which no figure of a study can be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pkdr_monai.comparison.markdown import markdown_table
from pkdr_monai.comparison.results import Result
from pkdr_monai.comparison.study import Study

__all__ = ["facts_table", "runs_table"]

SCORING = {
    "nested": "as the label map holds them: ET is part of TC, and TC of WT",
    "channels": "each output cut at 0.5 by itself, not as the label map holds them",
}
WEIGHTS = {"best": "of the best validation", "last": "of the last epoch"}


def facts_table(study: Study) -> str:
    """Return cohort, division, budget, seeds, hardware and software as a table of two columns."""
    environments = [result.environment for result in study.results]
    sizes = _sizes(study.cases)
    facts = {
        "cohort": _plain(study.cohort),
        "cases": f"{sizes}; division {study.split_hash[:12]}",
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


def runs_table(study: Study) -> str:
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
