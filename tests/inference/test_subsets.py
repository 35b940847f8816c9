"""One checkpoint is scored on all 15 subsets by the label maps that predicting writes."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pkdr_monai.data import make_data_list
from pkdr_monai.data.entries import case_of
from pkdr_monai.errors import InputError
from pkdr_monai.inference import predict
from pkdr_monai.inference.scans import Scan
from pkdr_monai.inference.subsets import evaluate_subsets, evaluations_of, table, write_scores
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.networks import AnySubsetVNet, describe_network
from pkdr_monai.runs.model_card import ModelCard

from .conftest import SPACING, untrained


@pytest.fixture(scope="module")
def card(scan: Scan, tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    network = AnySubsetVNet(init_filters=2, norm="batch")
    network.load_state_dict(untrained(scan, MODALITIES).state_dict())
    weights = tmp_path_factory.mktemp("any_subset") / "models" / "model.pt"
    weights.parent.mkdir()
    torch.save({name: value.half() for name, value in network.state_dict().items()}, weights)
    made = ModelCard("any_subset", MODALITIES, describe_network(network), SPACING, (32, 32, 32)).with_weights(weights)
    made.write()
    return made


@pytest.fixture(scope="module")
def data_list(cohort: Path) -> dict:
    return make_data_list(cohort, fractions=(0.5, 0.0, 0.5))


def test_all_subsets_are_scored_as_predict_segments(card, data_list, cohort: Path, tmp_path: Path) -> None:
    scores = evaluate_subsets(card, data_list, cohort)
    assert len({score.modalities for score in scores}) == 15
    assert len(scores) == 15 * len(data_list["test"])
    score = next(score for score in scores if score.modalities == ("t1", "flair"))
    entry = next(entry for entry in data_list["test"] if entry["case"] == score.case)
    files = case_of(entry).files
    named = {modality: cohort / files[modality] for modality in score.modalities}
    predict(output=tmp_path, named=named, model=card.weights)
    found = np.asarray(nib.load(next(tmp_path.glob("*/*_seg.nii.gz"))).dataobj) > 0
    truth = np.asarray(nib.load(cohort / entry["label"]).dataobj) > 0
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert score.dice["wt"] == pytest.approx(dice, abs=1e-6)


def test_scores_end_in_a_table_and_in_the_card(card, data_list, cohort: Path, tmp_path: Path) -> None:
    scores = evaluate_subsets(card, data_list, cohort, choices=["flair", "all"])
    write_scores(tmp_path / "scores.csv", scores)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["modalities"] for row in rows[:2]] == ["flair", "t1+t1ce+t2+flair"]
    found = evaluations_of(scores, data_list, "test")
    assert found[("flair",)].cases == len(data_list["test"])
    assert len(list(table(scores))) == 3


def test_a_network_that_needs_all_its_modalities_is_refused(
    make_model: Callable[..., ModelCard], data_list, cohort: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="without --subsets"):
        evaluate_subsets(make_model(tmp_path / "teacher", MODALITIES), data_list, cohort)


def test_predict_takes_every_modality_that_it_finds(card, cohort: Path, tmp_path: Path) -> None:
    record = predict(cohort, tmp_path, model=card.weights)
    assert record["models"][0]["modalities"] == MODALITIES
    flair = next(cohort.glob("*/*/*_flair.nii.gz"))
    record = predict(flair, tmp_path / "flair", model=card.weights)
    assert record["models"][0]["modalities"] == ("flair",)
    assert record["summary"] == {"done": 1, "skipped": 0, "failed": 0}


def test_cases_with_other_modalities_are_segmented_in_one_go(card, cohort: Path, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for number, source in enumerate(
        sorted(cohort.glob("*/*/*_t2.nii.gz"))[:1] + sorted(cohort.glob("*/*/*_flair.nii.gz"))[:1]
    ):
        kind = source.name.split("_")[-1]
        shutil.copy(source, scans / f"p{number}_{kind}")
    record = predict(scans, tmp_path / "out", model=card.weights)
    assert {model["modalities"] for model in record["models"]} == {("t2",), ("flair",)}
    assert record["summary"]["failed"] == 0


def test_an_unknown_subset_of_the_network_is_refused(card) -> None:
    narrow = replace(card, network=card.network | {"modalities": ["t2", "flair"]})
    with pytest.raises(InputError, match="not t1"):
        narrow.seeing(["t1"])
