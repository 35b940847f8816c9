"""What a folder of results holds: its record, its history, its scores, its segmentations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_object
from pkdr_monai.reporting.scans import Segmentation, find_segmentations
from pkdr_monai.reporting.scores import read_scores
from pkdr_monai.runs.tables import read_history

__all__ = ["Run", "facts", "read_run"]


@dataclass(frozen=True)
class Run:
    """A training run, or a folder of predictions, as far as it is there.

    Args:
        folder: where it lies.
        record: content of ``run.json``, or nothing.
        history: rows of ``history.csv``, or nothing.
        scores: scores of its evaluation, by metric and case.
        segmentations: segmentations that lie in it, by case.
    """

    folder: Path
    record: Mapping[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    scores: dict[str, dict[str, tuple[float, ...]]] = field(default_factory=dict)
    segmentations: dict[str, Segmentation] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that ``run.json`` notes, or nothing."""
        settings = self.record.get("settings")
        return settings if isinstance(settings, Mapping) else {}

    @property
    def name(self) -> str:
        """The run's name, or its folder's."""
        return str(self.settings.get("run_name") or self.folder.absolute().name)

    @property
    def weights(self) -> Path:
        """Where a training run keeps its weights."""
        return self.folder / "models" / "model.pt"


def read_run(folder: str | Path) -> Run:
    """Read what a folder of results holds.

    Args:
        folder: a training run such as ``runs/pkdr_t2``, or a folder of predictions.

    Raises:
        InputError: when the folder is absent, holds nothing to report, or a file in it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected a training run, or a folder of predictions.")
    record = read_object(folder / "run.json") if (folder / "run.json").is_file() else {}
    history = read_history(folder / "history.csv") if (folder / "history.csv").is_file() else []
    scores = read_scores(folder / "evaluation")
    segmentations = {} if history else find_segmentations(folder)
    if not (record or history or scores or segmentations):
        raise InputError(
            f"{folder} holds nothing to report: expected run.json, history.csv or evaluation/ of a training run, or "
            "segmentations named <case>_seg.nii.gz."
        )
    return Run(folder, record, history, scores, segmentations)


def facts(run: Run) -> dict[str, dict[str, str]]:
    """Return what ran on what, as tables of names and values: the record, its hashes and that of the weights.

    Example:
        >>> facts(Run(Path("r"), {"status": "finished", "environment": {"torch": "2.13.0"}}))
        {'run': {'status': 'finished'}, 'environment': {'torch': '2.13.0'}}
    """
    tables: dict[str, dict[str, str]] = {"run": {}}
    for key, value in run.record.items():
        if isinstance(value, Mapping):
            tables[key] = {str(name): _shown(item) for name, item in value.items()}
        else:
            tables["run"][key] = _shown(value)
    if run.weights.is_file():
        digest = hashlib.sha256(run.weights.read_bytes()).hexdigest()
        tables["run"]["weights"] = f"models/model.pt, SHA-256 {digest}"
    return {title.replace("_", " "): rows for title, rows in tables.items() if rows}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
