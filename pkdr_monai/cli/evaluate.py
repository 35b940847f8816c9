"""``pkdr evaluate``: score a trained model on the cases of a data list."""

from pathlib import Path
from typing import Any

from pkdr_monai import DISCLAIMER
from pkdr_monai.arguments import choice, number, switch
from pkdr_monai.errors import InputError
from pkdr_monai.regions import check_et_rule
from pkdr_monai.terminal import ProgressLine, command, echo

__all__ = ["evaluate"]


@command(
    split=choice("training", "validation", "test"),
    dry_run=switch,
    subsets=switch,
    save_pred=switch,
    et_rule=number,
    scoring=choice("nested", "channels"),
)
def evaluate(
    run: str,
    *,
    dataset_dir: str = "data",
    data_list_file: str = "datalist.json",
    split: str = "test",
    output_dir: str | None = None,
    subsets: bool = False,
    save_pred: bool = False,
    et_rule: float = 0.0,
    scoring: str = "nested",
    dry_run: bool = False,
) -> None:
    """Score a model on cases whose labels are known: Dice and HD95 of each case, on its own grid.

    The tables are in RUN/evaluation/. `pkdr predict` says from then on what to expect of the model. The equivalent
    command of MONAI is printed first.
    Example: pkdr evaluate runs/pkdr_t2 --dataset_dir BraTS2018 --data_list_file brats2018.json

    Args:
        run: folder of a training, such as runs/pkdr_t2, or its model.pt.
        dataset_dir: folder of the data set.
        data_list_file: its split, as pkdr data split writes it.
        split: which part of the split: training, validation or test.
        output_dir: folder that gets evaluation/; by default that of the training.
        subsets: score a network for any subset on all 15 subsets of its modalities, by the label maps that pkdr predict
            writes; the table is RUN/evaluation_subsets.csv.
        save_pred: write the label maps that are scored, to evaluation/predictions/CASE/CASE_seg.nii.gz.
        et_rule: score ET also with predictions of less than this volume in mm³ as necrosis, such as 500; the tables
            are evaluation/val_dice_et_rule_raw.csv and val_hd95_et_rule_raw.csv. 0 disables it.
        scoring: nested scores the regions of the label map, channels each output cut at 0.5 by itself.
        dry_run: only print the command.
    """
    check_et_rule(et_rule)
    asked = {"save_pred": save_pred, "et_rule": et_rule, "scoring": scoring != "nested"}
    for option in (option for option, given in asked.items() if subsets and given):
        raise InputError(f"--{option} is for one model and its modalities: leave out --subsets, or use pkdr predict.")
    if subsets:
        _evaluate_subsets(run, dataset_dir, data_list_file, split, output_dir)
        return
    from pkdr_monai.networks import build_network, describe_network
    from pkdr_monai.runs.models import read_model
    from pkdr_monai.workflow import command_line, find_configs, run_bundle

    card = read_model(run)
    weights = Path(str(card.weights))
    files = [find_configs() / name for name in ("train.json", "evaluate.json")]
    options: dict[str, Any] = {
        "dataset_dir": dataset_dir,
        "data_list_file": data_list_file,
        "evaluation_split": split,
        "modality": "+".join(card.modalities),
        "network_def": describe_network(build_network(card.network)),  # not as it stands: the card may hold code
        "spacing": list(card.spacing),
        "roi_size": list(card.roi_size),
        "checkpoint": str(weights),
        "output_dir": output_dir or str(weights.parent.parent),
        "run_name": card.name,
    }
    given = {"save_pred": save_pred, "et_rule": et_rule, "scoring": scoring}
    options |= {option: given[option] for option, wanted in asked.items() if wanted}
    echo(command_line("evaluating", files, options))
    if dry_run:
        return
    run_bundle("evaluating", files, options)
    scored = read_model(weights).evaluation
    if scored is not None:
        means = ", ".join(f"{region.upper()} {mean:.3f}" for region, mean in scored.mean.items())
        echo(f"{card.name} on {scored.cases} {scored.section} cases: Dice {means}")
    echo(f"tables: {options['output_dir']}/evaluation")
    echo(DISCLAIMER)


def _evaluate_subsets(run: str, dataset_dir: str, data_list_file: str, split: str, output_dir: str | None) -> None:
    import torch

    from pkdr_monai.data import load_data_list
    from pkdr_monai.inference.subsets import evaluate_subsets, evaluations_of, table, write_scores
    from pkdr_monai.runs.models import read_model

    card, data_list = read_model(run), load_data_list(data_list_file)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    progress = ProgressLine("evaluating")
    scores = evaluate_subsets(card, data_list, dataset_dir, split, device=device, progress=progress)
    path = Path(output_dir or Path(str(card.weights)).parent.parent) / "evaluation_subsets.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_scores(path, scores)
    for modalities, evaluation in evaluations_of(scores, data_list, split).items():
        card = card.evaluated(evaluation, modalities)
    card.write()
    for line in table(scores):
        echo(line)
    echo(f"table: {path}")
    echo(DISCLAIMER)
