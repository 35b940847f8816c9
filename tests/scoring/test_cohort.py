"""Folders are scored case by case, and what has no partner is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.scoring.cohort import score_label_maps
from tests.conftest import volumes
from tests.scoring.conftest import random_label

Writer = Callable[..., Path]


def test_predictions_meet_the_labels_of_a_data_set(dataset: Path, write_labels: Writer) -> None:
    label = volumes()["seg"]
    predictions = write_labels("predictions", {"001.nii.gz": label, "C/C_t2_seg.nii.gz": label, "x.nii.gz": label})
    calls: list[tuple[int, int]] = []
    scored = score_label_maps(predictions, dataset, progress=lambda done, total: calls.append((done, total)))
    assert {case: scores["dice_mean"] for case, scores in scored.cases.items()} == {"001": 1.0, "c": 1.0}
    assert (scored.without_truth, scored.without_prediction) == (("x",), ("1e5",))
    assert scored.options["label_scheme"] == scored.options["truth_scheme"] == "brats2018"
    assert scored.inputs["001"]["prediction"]["sha256"] == file_hash(predictions / "001.nii.gz")
    assert calls == [(1, 2), (2, 2)]


def test_schemes_of_both_folders_are_minded(write_labels: Writer) -> None:
    truth = write_labels("labelsTr", {"a.nii.gz": random_label(1, "msd")})
    predictions = write_labels("predictions", {"a.nii.gz": random_label(1, "brats2023")})
    scored = score_label_maps(predictions, truth, "brats2023", "msd")
    assert scored.cases["a"]["dice_mean"] == 1.0


def test_folders_without_a_common_name_are_refused_with_names_of_both(dataset: Path, write_labels: Writer) -> None:
    predictions = write_labels("predictions", {"x.nii.gz": random_label(0)})
    with pytest.raises(InputError, match=r"no prediction in .* \(x\) has the name of a case in .* \(001, 1e5, c\)"):
        score_label_maps(predictions, dataset)


def test_a_wrong_grid_stops_before_anything_is_scored(
    dataset: Path, write_labels: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkdr_monai.scoring.cohort.score_case", lambda *_: pytest.fail("scored"))
    label = volumes()["seg"]
    predictions = write_labels("predictions", {"001.nii.gz": label, "c.nii.gz": label[1:]})
    with pytest.raises(InputError, match="case c: the prediction has 7x9x7 voxels"):
        score_label_maps(predictions, dataset)


@pytest.mark.parametrize(("option", "value"), [("et_rule", -1.0), ("label_scheme", "brats")])
def test_options_are_checked_before_anything_is_read(option: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=option):
        score_label_maps(tmp_path, tmp_path, **{option: value})  # type: ignore[arg-type]


def test_a_rule_of_0_scores_what_was_scored_without_one(dataset: Path, write_labels: Writer) -> None:
    predictions = write_labels("predictions", {"c.nii.gz": np.where(volumes()["seg"] == 2, 0, volumes()["seg"])})
    assert score_label_maps(predictions, dataset).cases == score_label_maps(predictions, dataset, et_rule=0).cases
