"""``pkdr score``: score label maps of any origin against the truth."""

from pkdr_monai import DISCLAIMER
from pkdr_monai.arguments import number
from pkdr_monai.terminal import ProgressLine, command, echo

__all__ = ["score"]


@command(et_rule=number, lesions=number, lesion_volume=number)
def score(
    predictions: str,
    *,
    truth: str,
    output: str,
    label_scheme: str | None = None,
    truth_scheme: str | None = None,
    et_rule: float = 0.0,
    lesions: float = 0.0,
    lesion_volume: float = 50.0,
) -> None:
    """Score label maps, whoever made them, by the Dice and HD95 of an evaluation.

    OUT/scores.csv has a row for each case, OUT/scores.json means, standard deviations and medians, with the options and
    the hash of every file. Predictions are matched to truths by the names of their cases: CASE.nii.gz as nnU-Net writes
    them, CASE/CASE_seg.nii.gz, CASE_t2_seg.nii.gz. docs/scores.md defines the scores.
    Example: pkdr score predictions --truth BraTS2018 --output scores

    Args:
        predictions: folder of predicted label maps, on the grids of the truth.
        truth: folder of a data set with labels, or of label maps alone.
        output: folder for the results, OUT.
        label_scheme: scheme of the predictions, such as brats2023 or msd; default: that of the truth.
        truth_scheme: scheme of the truth; default: that of the data set.
        et_rule: score ET also with predictions of less than this volume in mm³ as necrosis, such as 500; 0 disables it.
        lesions: count lesions too; one is found with this intersection over union or more, such as 0.5; 0 disables it.
        lesion_volume: leave out lesions of up to this volume in mm³, true and predicted ones.
    """
    from pkdr_monai.scoring import score_label_maps, table, write_scores

    progress = ProgressLine("scoring")
    scored = score_label_maps(predictions, truth, label_scheme, truth_scheme, et_rule, lesions, lesion_volume, progress)
    rows, whole = write_scores(scored, output)
    for line in table(scored):
        echo(line)
    if scored.without_truth:
        echo(f"not scored, for want of a truth: {', '.join(scored.without_truth)}")
    if scored.without_prediction:
        echo(f"not scored, for want of a prediction: {', '.join(scored.without_prediction)}")
    schemes = scored.options
    echo(f"labels: {schemes['label_scheme']} predicted, {schemes['truth_scheme']} true; tables: {rows}, {whole}")
    echo(DISCLAIMER)
