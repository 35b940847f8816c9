"""The label maps of one folder scored against those of another: by case, over all cases, as files and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai import DISCLAIMER, __version__
from pkdr_monai.data.names import output_key
from pkdr_monai.errors import InputError, some
from pkdr_monai.files import atomic_write, file_hash, write_json, writing_to
from pkdr_monai.regions import SHOWN, check_et_rule, scheme_labels
from pkdr_monai.scoring.case import LESION_VOLUME, LesionRule, check_grids, columns, score_case
from pkdr_monai.scoring.label_maps import find_predictions, find_truths

__all__ = ["Scored", "score_label_maps", "summary", "table", "write_scores"]

TITLES = ("WT", "TC", "ET", "mean")


@dataclass(frozen=True)
class Scored:
    """What the label maps of a folder scored.

    Args:
        cases: score by column, by case.
        inputs: of each case, the ``prediction`` and the ``truth`` with ``file`` and ``sha256``.
        options: folders, schemes, the ET rule and that of lesions.
        without_truth: cases with a prediction alone; they have no score.
        without_prediction: cases with a truth alone; they have none either.
    """

    cases: dict[str, dict[str, float]]
    inputs: dict[str, dict[str, dict[str, str]]]
    options: dict[str, Any]
    without_truth: tuple[str, ...] = ()
    without_prediction: tuple[str, ...] = ()


def score_label_maps(
    predictions: str | Path,
    truth: str | Path,
    label_scheme: str | None = None,
    truth_scheme: str | None = None,
    et_rule: float = 0.0,
    lesions: float = 0.0,
    lesion_volume: float = LESION_VOLUME,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Score every prediction whose case has a truth. All grids are compared before the first score is computed.

    Args:
        predictions: folder of predicted label maps.
        truth: folder of a data set, or of label maps.
        label_scheme: scheme of the predictions; that of the truth by default.
        truth_scheme: scheme of the truth; that of the data set by default.
        et_rule: as in :func:`~pkdr_monai.scoring.case.score_case`.
        lesions: intersection over union with which a lesion is found, over 0 and up to 1; 0 counts no lesions.
        lesion_volume: volume in mm³ up to which a lesion is left out.
        progress: called with the number of cases that are done, and of all.

    Raises:
        InputError: when nothing matches, a file cannot be read, or a prediction lies on another grid than its truth.
    """
    check_et_rule(et_rule)
    lesion_rule = LesionRule(lesions, lesion_volume)
    if label_scheme is not None:
        scheme_labels(label_scheme)
    found, true = find_predictions(predictions), find_truths(truth, truth_scheme)
    known = {output_key(case): case for case in true.files}
    pairs = {known[output_key(case)]: path for case, path in found.files.items() if output_key(case) in known}
    if not pairs:
        raise InputError(
            f"no prediction in {predictions} ({some(list(found.files), 3)}) has the name of a case in {truth} "
            f"({some(list(true.files), 3)}): name the files after their cases, such as CASE.nii.gz."
        )
    for case, path in pairs.items():
        check_grids(case, path, true.files[case])
    schemes = (label_scheme or str(true.label_scheme), str(true.label_scheme))
    scores, inputs = {}, {}
    for done, (case, path) in enumerate(pairs.items(), 1):
        scores[case] = score_case(case, path, true.files[case], *schemes, et_rule, lesion_rule)
        files = {"prediction": path, "truth": true.files[case]}
        inputs[case] = {what: {"file": str(file), "sha256": file_hash(file)} for what, file in files.items()}
        if progress is not None:
            progress(done, len(pairs))
    folders = {"predictions": str(predictions), "truth": str(truth)}
    options = {**folders, "label_scheme": schemes[0], "truth_scheme": schemes[1], "et_rule": et_rule}
    if lesions:
        options |= {"lesions": lesions, "lesion_volume": lesion_volume}
    matched = {output_key(case) for case in pairs}
    return Scored(
        scores,
        inputs,
        options,
        without_truth=tuple(case for case in found.files if output_key(case) not in matched),
        without_prediction=tuple(case for case in true.files if case not in pairs),
    )


def summary(scored: Scored) -> dict[str, dict[str, float | int | None]]:
    """Return mean, standard deviation (of a sample, so ``None`` for one case), median and number by column.

    Example:
        >>> summary(Scored({"a": dict.fromkeys(columns(0), 1.0)}, {}, {"et_rule": 0}))["dice_wt"]
        {'mean': 1.0, 'sd': None, 'median': 1.0, 'n': 1}
    """
    result: dict[str, dict[str, float | int | None]] = {}
    for column in _columns(scored):
        values = np.array([scores[column] for scores in scored.cases.values()])
        deviation = float(values.std(ddof=1)) if values.size > 1 else None
        result[column] = {
            "mean": float(values.mean()),
            "sd": deviation,
            "median": float(np.median(values)),
            "n": values.size,
        }
    return result


def write_scores(scored: Scored, folder: str | Path) -> tuple[Path, Path]:
    """Write ``scores.csv``, a row for each case, and ``scores.json``, the summary with all that led to it.

    Args:
        scored: the scores.
        folder: where to write; it is made where it is absent.

    Returns:
        The two files.

    Raises:
        InputError: when they cannot be written.
    """
    names = _columns(scored)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *names])
    writer.writerows([case, *(scores[name] for name in names)] for case, scores in scored.cases.items())
    rows, whole = Path(folder) / "scores.csv", Path(folder) / "scores.json"
    with writing_to(folder):
        with atomic_write(rows) as file:
            file.write(text.getvalue().encode())
        write_json(whole, _record(scored))
    return rows, whole


def table(scored: Scored) -> list[str]:
    """Return the lines of a table for people: Dice and HD95 by region, over all cases.

    Example:
        >>> print("\\n".join(table(Scored({"a": dict.fromkeys(columns(0), 1.0)}, {}, {"et_rule": 0}))))
        1 case             WT      TC      ET    mean
        Dice   mean     1.000   1.000   1.000   1.000
               sd           -       -       -       -
               median   1.000   1.000   1.000   1.000
        HD95   mean       1.0     1.0     1.0     1.0
        (mm)   sd           -       -       -       -
               median     1.0     1.0     1.0     1.0
    """
    figures, rule = summary(scored), scored.options["et_rule"]
    titles = [*TITLES, "ET*"] if rule else list(TITLES)
    count = len(scored.cases)
    counted = f"{count} case{'s' * (count != 1)}"
    lines = [f"{counted:<13}" + "".join(f"{title:>8}" for title in titles)]
    for metric, decimals, names in (("dice", 3, ("Dice", "", "")), ("hd95", 1, ("HD95", "(mm)", ""))):
        shown = [f"{metric}_{column}" for column in (*SHOWN, "mean", *(["et_rule"] if rule else []))]
        for name, statistic in zip(names, ("mean", "sd", "median"), strict=True):
            cells = [_cell(figures[column][statistic], decimals) for column in shown]
            lines.append(f"{name:<7}{statistic:<6}" + "".join(f"{cell:>8}" for cell in cells))
    if rule:
        lines.append(f"* predictions with less than {rule:g} mm³ of ET: counted as necrosis")
    if scored.options.get("lesions"):
        lines += _lesions(scored)
    return lines


def _columns(scored: Scored) -> tuple[str, ...]:
    return columns(scored.options["et_rule"], scored.options.get("lesions", 0.0))


def _lesions(scored: Scored) -> list[str]:
    """Return the lines of the lesions: how many in all cases, and their Dice, first averaged within each case."""
    lines, figures = [], summary(scored)
    for title in ("found", "missed", "invented"):
        totals = [sum(scores[f"lesions_{title}_{region}"] for scores in scored.cases.values()) for region in SHOWN]
        titled = f"{title} lesions" if title == "found" else title
        lines.append(f"{titled:<13}" + "".join(f"{_cell(total, 0):>8}" for total in totals))
    means = [_cell(figures[f"lesion_dice_{region}"]["mean"], 3) for region in SHOWN]
    lines.append(f"{'lesion Dice':<13}" + "".join(f"{mean:>8}" for mean in means))
    iou, volume = scored.options["lesions"], scored.options["lesion_volume"]
    lines.append(
        f"lesions of more than {volume:g} mm³; found: an intersection over union of {iou:g} or more, one to one"
    )
    return lines


def _cell(value: float | int | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _record(scored: Scored) -> dict[str, Any]:
    return {
        "scores": summary(scored),
        "options": scored.options,
        "cases": scored.cases,
        "without_truth": list(scored.without_truth),
        "without_prediction": list(scored.without_prediction),
        "inputs": scored.inputs,
        "version": __version__,
        "note": DISCLAIMER,
    }
