"""What one evaluation of one training left behind: a JSON file that is read whole or refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_object
from pkdr_monai.modalities import modality_name
from pkdr_monai.regions import REGIONS

__all__ = ["COLUMNS", "ET_RULE", "Result", "Scores", "group_scores", "read_results"]

NUMBER = (int, float)
KINDS: dict[str, tuple[type, ...]] = {
    "cells": (list,),
    "modality": (str,),
    "seed": (int,),
    "checkpoint": (str,),
    "config_hash": (str,),
    "split_hash": (str,),
    "teacher": (str, NoneType),
    "epochs": (int,),
    "best_epoch": (int, NoneType),
    "parameters": (int,),
    "training_seconds": NUMBER,
    "evaluation_seconds": NUMBER,
    "peak_memory_mib": NUMBER,
    "environment": (dict,),
    "cases": (dict,),
}
SCORINGS = ("nested", "channels")
ET_RULE = 500.0
"""Volume in mm³ of the ET rule with which every run is scored too, as in the field's tables; ET without it stays."""
AGAIN = "Delete the file and run it again."


@dataclass(frozen=True)
class Result:
    """The scores of one trained network on one choice of modalities, with what it took.

    Args:
        path: the file it was read from.
        cells: the experiments whose settings these are, such as ``"table1/pkdr"``; one training may serve several.
        modality: what the network saw: ``"t2"``, ``"t1+flair"`` or ``"all"``.
        seed: of the training.
        checkpoint: which weights were scored, such as ``"best"``.
        config_hash: hash of the settings.
        split_hash: hash of which case is in which section.
        teacher: hash of the teacher's settings, if it had one.
        epochs: epochs trained.
        best_epoch: epoch of the best validation, if there was one.
        parameters: parameters of the deployed network.
        training_seconds: duration of the training.
        evaluation_seconds: duration of the evaluation.
        peak_memory_mib: peak memory of the training in MiB.
        environment: versions and hardware.
        cases: for each case ``"dice"`` (0 to 1) and ``"hd95"`` (mm), each by region.
        fold: number of the fold in cross-validation; ``None`` where there is a single split.
        scoring: ``"nested"`` for the regions of the label map, ``"channels"`` for each output cut by itself, as in all
            results that do not say.
        et_rule: :data:`ET_RULE` where cases also have ``"dice_et_rule"`` and ``"hd95_et_rule"``, those of ET after the
            ET rule; 0 where they do not.
        method_hash: hash of the settings without seed, modality and teacher; ``None`` in results that do not say.
    """

    path: Path
    cells: tuple[str, ...]
    modality: str
    seed: int
    checkpoint: str
    config_hash: str
    split_hash: str
    teacher: str | None
    epochs: int
    best_epoch: int | None
    parameters: int
    training_seconds: float
    evaluation_seconds: float
    peak_memory_mib: float
    environment: Mapping[str, Any]
    cases: Mapping[str, Mapping[str, Mapping[str, float]]]
    fold: int | None = None
    scoring: str = "channels"
    et_rule: float = 0.0
    method_hash: str | None = None


def read_results(folder: str | Path) -> tuple[Result, ...]:
    """Read every result of a study, ``<folder>/runs/*.json``, in the order of the files' names.

    Raises:
        InputError: when a file is truncated or lacks something, or when two do not belong into one table: another data
            list, other cases, other weights, other settings of one cell, or the same cell, modalities, seed and fold
            twice.
    """
    results = tuple(_read(path) for path in sorted((Path(folder) / "runs").glob("*.json")))
    _refuse_mixtures(results)
    _refuse_repetitions(results)
    _refuse_edited(results)
    return results


def _read(path: Path) -> Result:
    record = read_object(path)
    for name, kinds in KINDS.items():
        value = record.get(name)
        if not isinstance(value, kinds) or isinstance(value, bool):
            wanted = " or ".join("null" if kind is NoneType else kind.__name__ for kind in kinds)
            raise InputError(f"{path}: expected {name} to be {wanted}, got {value!r}. {AGAIN}")
    if not record["cells"] or not all(isinstance(cell, str) for cell in record["cells"]):
        raise InputError(f"{path}: expected cells such as ['table1/pkdr'], got {record['cells']!r}. {AGAIN}")
    if not isinstance(record.get("fold"), int | NoneType):
        raise InputError(f"{path}: expected fold to be a number, got {record['fold']!r}. {AGAIN}")
    if not isinstance(record.get("method_hash"), str | NoneType):
        raise InputError(f"{path}: expected method_hash to be text, got {record['method_hash']!r}. {AGAIN}")
    if record.get("et_rule", 0.0) not in (0.0, ET_RULE):
        raise InputError(f"{path}: expected et_rule to be 0 or {ET_RULE:g} mm³, got {record['et_rule']!r}. {AGAIN}")
    values = {name: record[name] for name in KINDS} | {"fold": record.get("fold")}
    values |= {"et_rule": record.get("et_rule", 0.0), "method_hash": record.get("method_hash")}
    _check_cases(path, record["cases"], ruled=values["et_rule"] > 0)
    values["scoring"] = record.get("scoring", "channels")
    if values["scoring"] not in SCORINGS:
        raise InputError(f"{path}: expected scoring to be {' or '.join(SCORINGS)}, got {values['scoring']!r}. {AGAIN}")
    return Result(path, **{**values, "cells": tuple(record["cells"]), "modality": _modality(path, record["modality"])})


def _modality(path: Path, text: str) -> str:
    """Return one spelling for one choice of modalities."""
    try:
        return modality_name(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _check_cases(path: Path, cases: Mapping[str, Any], ruled: bool) -> None:
    if not cases:
        raise InputError(f"{path} holds no case. {AGAIN}")
    for case, scores in cases.items():
        given = scores if isinstance(scores, dict) else {}
        for metric, highest in (("dice", 1.0), ("hd95", math.inf)):
            by_region = given.get(metric)
            figures = {region: by_region.get(region) if isinstance(by_region, dict) else None for region in REGIONS}
            if ruled:
                figures["et after the ET rule"] = given.get(f"{metric}_et_rule")
            for name, value in figures.items():
                valid = isinstance(value, NUMBER) and math.isfinite(value) and 0 <= value <= highest
                if not valid:
                    limit = "0 to 1" if metric == "dice" else "mm, 0 or more, and finite"
                    raise InputError(
                        f"{path}: case {case}: expected {metric} of {name} ({limit}), got {value!r}. {AGAIN}"
                    )


def _refuse_mixtures(results: Sequence[Result]) -> None:
    folds: dict[int | None, Result] = {}
    tested: dict[str, Result] = {}
    for other in results:
        first = folds.setdefault(other.fold, other)
        _refuse_pair(first, other, ("split_hash", "checkpoint", "scoring"))
        different = sorted(first.cases.keys() ^ other.cases.keys())
        if different:
            raise InputError(
                f"{first.path} and {other.path} were not scored on the same cases: {different[0]} is in one alone. "
                "Evaluate both on the same cases."
            )
    for other in folds.values():
        _refuse_pair(results[0], other, ("checkpoint", "scoring"))
        twice = sorted(tested.keys() & other.cases.keys())
        if twice or (None in folds and len(folds) > 1):
            first = tested[twice[0]] if twice else folds[None]
            raise InputError(
                f"{first.path} and {other.path} do not belong into one study: "
                + (f"both tested {twice[0]}, in two folds." if twice else "one is of a fold, the other is not.")
                + " Keep each in a folder of its own."
            )
        tested |= dict.fromkeys(other.cases, other)


def _refuse_pair(first: Result, other: Result, names: Sequence[str]) -> None:
    for name in names:
        mine, theirs = getattr(first, name), getattr(other, name)
        if mine != theirs:
            raise InputError(
                f"{first.path} and {other.path} do not belong into one study: {name} is {mine!r} in the one and "
                f"{theirs!r} in the other. Keep each in a folder of its own."
            )


def _refuse_repetitions(results: Sequence[Result]) -> None:
    seen: dict[tuple[str, str, int, int | None], Path] = {}
    for result in results:
        for cell in result.cells:
            other = seen.setdefault((cell, result.modality, result.seed, result.fold), result.path)
            if other != result.path:
                fold = "" if result.fold is None else f" in fold {result.fold}"
                raise InputError(
                    f"{other} and {result.path} both hold {cell} on {result.modality} with seed {result.seed}{fold}: "
                    "delete the one that is out of date."
                )


def _refuse_edited(results: Sequence[Result]) -> None:
    """Refuse seeds or folds of one cell between which its settings were changed; those that do not say are taken."""
    seen: dict[tuple[str, str], Result] = {}
    for result in (result for result in results if result.method_hash is not None):
        for cell in result.cells:
            other = seen.setdefault((cell, result.modality), result)
            if other.method_hash != result.method_hash:
                raise InputError(
                    f"{other.path} and {result.path} both hold {cell} on {result.modality}, with different settings: "
                    "run the one that is out of date again, or delete it."
                )


Array = npt.NDArray[np.float64]

COLUMNS: tuple[str, ...] = ("wt", "tc", "et", "mean")
"""The columns of every table: the regions in the paper's order, then the mean of the three."""


@dataclass(frozen=True)
class Scores:
    """What every seed of a method scored on every case; S seeds, C cases, and the four :data:`COLUMNS`.

    Args:
        cell: the experiment, such as ``"table1/pkdr"``.
        modality: what the network saw.
        seeds: in ascending order.
        cases: names, in alphabetical order.
        dice: Dice from 0 to 1, ``(S, C, 4)``.
        hd95: 95th percentile of the surface distance in mm, ``(S, C, 4)``.
        folds: number of the fold that tested each case; empty where there is a single split.
        ruled: Dice of ET after the ET rule, ``(S, C)``; ``None`` where a result was not scored with it.
    """

    cell: str
    modality: str
    seeds: tuple[int, ...]
    cases: tuple[str, ...]
    dice: Array
    hd95: Array
    folds: tuple[int, ...] = ()
    ruled: Array | None = None

    def on(self, cases: Collection[str]) -> Scores:
        """Return the scores on some of the cases, in the same order."""
        kept = [place for place, case in enumerate(self.cases) if case in cases]
        return replace(
            self,
            cases=tuple(self.cases[place] for place in kept),
            dice=self.dice[:, kept],
            hd95=self.hd95[:, kept],
            folds=tuple(self.folds[place] for place in kept) if self.folds else (),
            ruled=None if self.ruled is None else self.ruled[:, kept],
        )

    @property
    def fold_means(self) -> dict[int, Array]:
        """Mean Dice over cases and seeds of each fold, ``(4,)``, by its number."""
        member = np.array(self.folds)
        return {fold: self.case_means[member == fold].mean(axis=0) for fold in sorted(set(self.folds))}

    @property
    def seed_means(self) -> Array:
        """Mean Dice over the cases, for each seed, ``(S, 4)``."""
        return self.dice.mean(axis=1)

    @property
    def mean(self) -> Array:
        """Mean Dice over cases and seeds, ``(4,)``."""
        return self.seed_means.mean(axis=0)

    @property
    def spread(self) -> Array | None:
        """Sample standard deviation of :attr:`seed_means` over the seeds, ``(4,)``; none with a single seed."""
        return self.seed_means.std(axis=0, ddof=1) if len(self.seeds) > 1 else None

    @property
    def case_means(self) -> Array:
        """Dice of each case, averaged over the seeds, ``(C, 4)``."""
        return self.dice.mean(axis=0)

    @property
    def case_distances(self) -> Array:
        """HD95 of each case in mm, averaged over regions and seeds, ``(C,)``."""
        return self.hd95[..., COLUMNS.index("mean")].mean(axis=0)


def group_scores(results: Iterable[Result]) -> dict[tuple[str, str], Scores]:
    """Put the seeds of each method together, and pool the test cases of its folds.

    While a study with folds is under way, a method is shown on the folds of the seed that has most, and with the seeds
    that have all of these.

    Args:
        results: of one study, as :func:`~pkdr_monai.studies.results.read_results` returns them.

    Returns:
        The scores by cell and modality.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        for cell in result.cells:
            groups.setdefault((cell, result.modality), []).append(result)
    return {place: _scores(*place, sorted(group, key=lambda result: result.seed)) for place, group in groups.items()}


def _scores(cell: str, modality: str, results: list[Result]) -> Scores:
    by_seed: dict[int, dict[int | None, Result]] = {}
    for result in results:
        by_seed.setdefault(result.seed, {})[result.fold] = result
    folds = max((tuple(sorted(found, key=_number)) for found in by_seed.values()), key=len)
    seeds = tuple(seed for seed, found in by_seed.items() if set(folds) <= set(found))
    tested = {case: fold for fold in folds for case in by_seed[seeds[0]][fold].cases}
    cases = tuple(sorted(tested))
    pooled = [{case: by_seed[seed][tested[case]].cases[case] for case in cases} for seed in seeds]
    numbers = tuple(_number(tested[case]) for case in cases) if folds != (None,) else ()
    ruled = None
    if all(by_seed[seed][fold].et_rule for seed in seeds for fold in folds):
        ruled = np.array([[case["dice_et_rule"] for case in each.values()] for each in pooled], dtype=np.float64)
    return Scores(cell, modality, seeds, cases, _matrix(pooled, "dice"), _matrix(pooled, "hd95"), numbers, ruled)


def _number(fold: int | None) -> int:
    return -1 if fold is None else fold


def _matrix(seeds: Sequence[Mapping[str, Mapping[str, Mapping[str, float]]]], metric: str) -> Array:
    """Return one metric of every seed, case and region, with the mean of the regions as the last column."""
    regions = np.array(
        [[[case[metric][region] for region in COLUMNS[:-1]] for case in cases.values()] for cases in seeds],
        dtype=np.float64,
    )  # (S, C, 3)
    return np.concatenate([regions, regions.mean(axis=2, keepdims=True)], axis=2)
