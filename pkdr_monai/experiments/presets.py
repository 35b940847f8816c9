"""From what a command line says to a study: which cases, which budget, which folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.experiments.study import Study
from pkdr_monai.files import read_json

__all__ = ["choose_study"]


def choose_study(
    presets: str | Path,
    cohort: str,
    *,
    results: str | Path,
    work: str | Path,
    smoke: bool = False,
    preset: str | None = None,
    folds: int | None = None,
    validation: int | None = None,
    name: str | None = None,
    split: str | None = None,
    budget: Mapping[str, Any] | None = None,
) -> Study:
    """Return the study that a cohort and a budget make; nothing is written.

    Args:
        presets: folder with ``phantom.json``, ``smoke.json`` and others, a cohort and a budget each.
        cohort: ``"phantom"``, or the folder of a data set.
        results: folder of all results; the study's own is in it.
        work: folder of all cases, checkpoints and logs; the study's own is in it.
        smoke: tiny cases where the cohort is synthetic, and the tiniest budget.
        preset: name of another preset among ``presets``; its cohort's folder is still ``cohort``.
        folds: divide the cases for cross-validation into that many folds.
        validation: validation patients of each fold.
        name: name of the study; by default that of the preset asked for, or of the cohort, with ``-smoke`` behind it
            where it is one.
        split: file with a division of the cases of a data set's folder.
        budget: settings that go before those of the preset. A data set's folder has no preset: train.json holds.

    Raises:
        InputError: when the folder or the preset is absent, or options exclude each other.
    """
    phantom = cohort == "phantom"
    if phantom and split:
        raise InputError("--split divides the cases of a data set's folder; synthetic cases have their own division.")
    if folds and split:
        raise InputError("--folds and --split exclude each other: choose the one or the other.")
    if not phantom and not Path(cohort).is_dir():
        raise InputError(f"no cohort {cohort!r}: expected phantom, or the folder of a data set.")
    content = _preset(Path(presets), preset or ("smoke" if smoke else "phantom"), preset, phantom)
    chosen = name or preset or (Path(cohort).absolute().name + ("-smoke" if smoke else ""))
    if Path(chosen).name != chosen:
        raise InputError(f"the name of a study is that of a folder, so it cannot be {chosen!r}. Choose another --name.")
    described = content["cohort"] if phantom or preset else {"kind": "folder", "split": split}
    division = {"folds": folds, "validation": validation}
    described = {**described, **{key: value for key, value in division.items() if value is not None}}
    if described.get("validation") is not None and not described.get("folds"):
        raise InputError("--validation is the number of validation patients of a fold: it needs --folds.")
    return Study(
        name=chosen,
        cohort=described if phantom else {**described, "folder": cohort},
        budget={**(content["budget"] if phantom or smoke or preset else {}), **(budget or {})},
        results=Path(results) / chosen,
        work=Path(work) / chosen,
    )


def _preset(folder: Path, name: str, asked: str | None, phantom: bool) -> dict[str, Any]:
    """Read a preset, and refuse one that was asked for and does not fit the cohort."""
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json")))
        raise InputError(f"no study {name!r}: expected one of {known}.")
    content: dict[str, Any] = read_json(path)
    if asked and (content["cohort"]["kind"] == "phantom") is not phantom:
        kind = "synthetic cases" if not phantom else "the folder of a data set: name it with --cohort"
        raise InputError(f"study {name!r} is one on {kind}.")
    return content
