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
    name: str | None = None,
    split: str | None = None,
    budget: Mapping[str, Any] | None = None,
) -> Study:
    """Return the study that a cohort and a budget make; nothing is written.

    Args:
        presets: folder with ``phantom.json`` and ``smoke.json``, a cohort and a budget each.
        cohort: ``"phantom"``, or the folder of a data set.
        results: folder of all results; the study's own is in it.
        work: folder of all cases, checkpoints and logs; the study's own is in it.
        smoke: tiny cases where the cohort is synthetic, and the tiniest budget.
        name: name of the study; by default that of the cohort, with ``-smoke`` behind it where it is one.
        split: file with a division of the cases of a data set's folder.
        budget: settings that go before those of the preset. A data set's folder has no preset: train.json holds.

    Raises:
        InputError: when the folder is absent, or synthetic cases are to be divided by a file.
    """
    phantom = cohort == "phantom"
    preset = read_json(Path(presets) / f"{'smoke' if smoke else 'phantom'}.json")
    if phantom and split:
        raise InputError("--split divides the cases of a data set's folder; synthetic cases have their own division.")
    if not phantom and not Path(cohort).is_dir():
        raise InputError(f"no cohort {cohort!r}: expected phantom, or the folder of a data set.")
    chosen = name or (Path(cohort).absolute().name + ("-smoke" if smoke else ""))
    if Path(chosen).name != chosen:
        raise InputError(f"the name of a study is that of a folder, so it cannot be {chosen!r}. Choose another --name.")
    return Study(
        name=chosen,
        cohort=preset["cohort"] if phantom else {"kind": "folder", "folder": cohort, "split": split},
        budget={**(preset["budget"] if phantom or smoke else {}), **(budget or {})},
        results=Path(results) / chosen,
        work=Path(work) / chosen,
    )
