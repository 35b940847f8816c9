"""Score one model on all subsets of its modalities: what `pkdr predict` would write for each, against the truth."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, EnsureChannelFirstd

from pkdr_monai.data import training_items
from pkdr_monai.data.entries import case_of
from pkdr_monai.data.headers import read_once
from pkdr_monai.data.transforms import LabelToRegionsd, LoadModalitiesd
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write
from pkdr_monai.inference.backends import choose_engine
from pkdr_monai.inference.postprocessing import binary_regions
from pkdr_monai.inference.predictor import Predictor, Settings, load_predictor, scan_probabilities
from pkdr_monai.inference.scans import Scan
from pkdr_monai.metrics import region_dice, region_hd95
from pkdr_monai.modalities import expand_modalities, parse_modalities
from pkdr_monai.regions import REGIONS, SHOWN
from pkdr_monai.runs.model_card import Evaluation, ModelCard, data_source

__all__ = ["SubsetScore", "evaluate_subsets", "evaluations_of", "table", "write_scores"]


@dataclass(frozen=True)
class SubsetScore:
    """How well one case was segmented from one subset of its modalities.

    Args:
        case: its name.
        modalities: the subset.
        dice: Dice of each region, 1 where it is empty on both sides.
        hd95: 95 % Hausdorff distance of each region in mm, as :class:`~pkdr_monai.metrics.HD95Metric` defines it.
    """

    case: str
    modalities: tuple[str, ...]
    dice: dict[str, float]
    hd95: dict[str, float]


def evaluate_subsets(
    card: ModelCard,
    data_list: Mapping[str, Any],
    dataset_dir: str | Path,
    subset: str = "test",
    choices: Sequence[str] = ("subsets",),
    settings: Settings | None = None,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> list[SubsetScore]:
    """Segment each case from each subset of its modalities, and score the regions of the label map.

    Args:
        card: the model, read from a disk.
        data_list: as :func:`~pkdr_monai.data.load_data_list` returns it.
        dataset_dir: folder of the data set.
        subset: part of the data list: ``"training"``, ``"validation"`` or ``"test"``.
        choices: subsets of the modalities, such as ``"t1+flair"``; ``"subsets"`` stands for all 15.
        settings: how to segment; the defaults of ``pkdr predict`` where nothing is said.
        device: where to compute.
        progress: called after each case with the number done and the total.

    Returns:
        The scores, case by case.

    Raises:
        InputError: when the network does not serve every subset, a case lacks a modality or its label.
    """
    if not card.any_subset:
        raise InputError(f"model {card.name} needs all of {', '.join(card.modalities)}: evaluate it without --subsets.")
    settings, device = settings or Settings(), torch.device(device)
    cards = [card.seeing(parse_modalities(choice)) for choice in expand_modalities(choices)]
    engines = [choose_engine(seeing, settings.backend, settings.precision, device) for seeing in cards]
    predictors = [load_predictor(*pair, device) for pair in zip(cards, engines, strict=True)]
    items = training_items(data_list, dataset_dir, subset, label_key="truth")
    scores: list[SubsetScore] = []
    for number, (item, entry) in enumerate(zip(items, data_list[subset], strict=True), start=1):
        with read_once():
            scores += _scores_of_case(item, Scan(case_of(entry), Path(dataset_dir)), predictors, settings)
        if progress is not None:
            progress(number, len(items))
    return scores


def evaluations_of(
    scores: Sequence[SubsetScore], data_list: Mapping[str, Any], subset: str
) -> dict[tuple[str, ...], Evaluation]:
    """Sum the scores up by the modalities that were seen, as model cards hold them."""
    found: dict[tuple[str, ...], list[list[float]]] = {}
    for score in scores:
        found.setdefault(score.modalities, []).append([score.dice[region] for region in REGIONS])
    source = data_source(data_list)
    return {modalities: Evaluation.of_scores(rows, source, subset) for modalities, rows in found.items()}


def write_scores(path: Path, scores: Sequence[SubsetScore]) -> None:
    """Write the scores of all cases as CSV, atomically: a row for each case and subset."""
    text = io.StringIO(newline="")
    columns = [f"{metric}_{region}" for metric in ("dice", "hd95") for region in REGIONS]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "modalities", *columns])
    for score in scores:
        values = [*(score.dice[region] for region in REGIONS), *(score.hd95[region] for region in REGIONS)]
        writer.writerow([score.case, "+".join(score.modalities), *(round(value, 4) for value in values)])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def table(scores: Sequence[SubsetScore]) -> Iterator[str]:
    """Return the mean Dice of each subset as lines for people."""
    groups: dict[tuple[str, ...], list[SubsetScore]] = {}
    for score in scores:
        groups.setdefault(score.modalities, []).append(score)
    yield f"{'modalities':24}{'WT':>7}{'TC':>7}{'ET':>7}{'mean':>7}"
    for modalities, group in groups.items():
        means = [statistics.fmean(score.dice[region] for score in group) for region in SHOWN]
        yield f"{'+'.join(modalities):24}" + "".join(f"{value:7.3f}" for value in (*means, statistics.fmean(means)))


def _scores_of_case(
    item: Mapping[str, Any], scan: Scan, predictors: Sequence[Predictor], settings: Settings
) -> Iterator[SubsetScore]:
    load = Compose([LoadModalitiesd("truth"), EnsureChannelFirstd("truth"), LabelToRegionsd("truth")])
    truth = load({"truth": item["truth"], "scheme": item["scheme"]})["truth"]
    spacing = [float(size) for size in truth.pixdim]
    for predictor in predictors:
        found = binary_regions(scan_probabilities(scan, [predictor], settings), 0)
        yield SubsetScore(
            scan.name,
            predictor.card.modalities,
            dict(zip(REGIONS, region_dice(found, truth.as_tensor()), strict=True)),
            dict(zip(REGIONS, region_hd95(found, truth.as_tensor(), spacing), strict=True)),
        )
