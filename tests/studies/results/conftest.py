"""A synthetic study: scores drawn at random around what each method is worth, in the files that a runner leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pkdr_monai.files import write_json

ROOT = Path(__file__).resolve().parents[3]
TABLES = ROOT / "experiments" / "tables.json"
WORTH = {"unimodal": 0.55, "uhved": 0.48, "kdnet": 0.56, "pmkl": 0.57, "protokd": 0.58, "pkdr": 0.61}
TEACHERS = (["table1/plain_teacher", "table2/baseline"], ["bundle/teacher", "table2/patch_selection"])


def result(
    cells: Sequence[str], modality: str = "t2", seed: int = 0, worth: float = 0.6, cases: int = 6, **changes: Any
) -> dict[str, Any]:
    """Return one result as it is in its file; one case in six has no enhancing tumour."""
    patient = np.random.default_rng(7)
    noise = np.random.default_rng([seed, *map(ord, cells[0] + modality)])
    scores: dict[str, Any] = {}
    training = worth + 0.015 * noise.standard_normal()
    for case in range(cases):
        hard = 0.12 * patient.standard_normal()
        dice = {
            region: float(np.clip(training + shift + hard + 0.03 * noise.standard_normal(), 0, 1))
            for region, shift in (("tc", 0.03), ("wt", 0.22), ("et", -0.2))
        }
        if case % 6 == 5:
            dice["et"] = float(noise.random() < 0.5)
        hd95 = {region: 0.0 if value == 1 else 40 * (1 - value) for region, value in dice.items()}
        scores[f"Phantom18_{case:04d}_1"] = {"dice": dice, "hd95": hd95}
    return {
        "cells": list(cells),
        "modality": modality,
        "seed": seed,
        "checkpoint": "best",
        "config_hash": "c0ffee" + cells[0],
        "split_hash": "d" * 64,
        "teacher": None,
        "epochs": 60,
        "best_epoch": 50,
        "parameters": 2_400_000,
        "training_seconds": 600.0,
        "evaluation_seconds": 10.0,
        "peak_memory_mib": 900,
        "environment": {"torch": "2.13.0", "monai": "1.6.1", "device": "x86_64 CPU", "threads": 1},
        "finished": "2026-01-01T00:00:00+00:00",
        "commands": ["python -m monai.bundle run training"],
        "cases": scores,
        "note": "Research software, not a medical device.",
        **changes,
    }


def with_et_rule(record: dict[str, Any]) -> dict[str, Any]:
    """Return a result whose cases were scored with the ET rule too, by which all ET was found."""
    ruled = {"dice_et_rule": 1.0, "hd95_et_rule": 0.0}
    return {**record, "et_rule": 500, "cases": {case: scores | ruled for case, scores in record["cases"].items()}}


def save_result(folder: Path, record: dict[str, Any]) -> Path:
    """Write one result below ``folder``."""
    name = f"{record['cells'][0].replace('/', '_')}_{record['modality']}_{record['seed']}.json"
    write_json(folder / "runs" / name, record)
    return folder / "runs" / name


def write_study(
    folder: Path, modalities: Sequence[str] = ("t1ce", "t2"), seeds: int = 3, cases: int = 6, cost: bool = True
) -> Path:
    """Write a study with Table 1 and its teachers, and return its folder."""
    study = {
        "name": "synthetic",
        "cohort": {"kind": "phantom", "cases": 40},
        "budget": {"max_epochs": 60, "roi_size": [48, 48, 48]},
        "split_hash": "d" * 64,
        "cases": {"training": 24, "validation": 8, "test": cases},
        "scored": "test",
    }
    write_json(folder / "study.json", study)
    for seed in range(seeds):
        for method, worth in WORTH.items():
            for modality in modalities:
                cells = [f"table1/{method}", *(["table3/full"] if method == "pkdr" else [])]
                save_result(folder, result(cells, modality, seed, worth, cases))
        for cells, worth in zip(TEACHERS, (0.68, 0.7), strict=True):
            save_result(folder, result(cells, "all", seed, worth, cases))
    if cost:
        ratios = {f"table1/{method}": {"step": 1 + 0.1 * n, "memory": 1 + 0.03 * n} for n, method in enumerate(WORTH)}
        write_json(folder / "cost.json", {"environment": {"device": "x86_64 CPU", "threads": 1}, "cells": ratios})
    return folder


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    """A study of six methods on two modalities with three seeds."""
    return write_study(tmp_path / "study")


@pytest.fixture
def make_study(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a study with other dimensions."""
    return lambda **dimensions: write_study(tmp_path / "study", **dimensions)
