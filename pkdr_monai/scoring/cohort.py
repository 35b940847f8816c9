"""The label maps of one folder scored against those of another, matched by the names of their cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkdr_monai.data.names import output_key
from pkdr_monai.errors import InputError, some
from pkdr_monai.files import file_hash
from pkdr_monai.regions import check_et_rule, scheme_labels
from pkdr_monai.scoring.case import check_grids, score_case
from pkdr_monai.scoring.label_maps import find_predictions, find_truths
from pkdr_monai.scoring.lesions import LESION_VOLUME, LesionRule

__all__ = ["Scored", "score_label_maps"]


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
