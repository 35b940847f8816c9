"""Label maps are found by the names of their cases, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.scoring.label_maps import find_predictions, find_truths
from tests.scoring.conftest import random_label


@pytest.mark.parametrize(
    "name",
    [
        "Brats18_2013_0_1.nii.gz",
        "Brats18_2013_0_1.nii",
        "Brats18_2013_0_1/Brats18_2013_0_1_seg.nii.gz",
        "Brats18_2013_0_1/Brats18_2013_0_1_t2_seg.nii.gz",
        "Brats18_2013_0_1-seg.nii.gz",
        "Brats18_2013_0_1_pred.nii.gz",
        "Brats18_2013_0_1_segmentation.nii.gz",
        "Brats18_2013_0_1/segmentation.nii.gz",
    ],
)
def test_a_label_map_is_told_by_the_name_of_its_case(name: str, write_labels: Callable[..., Path]) -> None:
    folder = write_labels("predictions", {name: random_label(0)})
    assert find_predictions(folder).files == {"Brats18_2013_0_1": folder / name}


def test_probabilities_and_uncertainty_are_no_label_maps(write_labels: Callable[..., Path]) -> None:
    names = ("a/a_seg.nii.gz", "a/a_probabilities.nii.gz", "a/a_uncertainty.nii.gz")
    folder = write_labels("predictions", dict.fromkeys(names, random_label(0)))
    assert list(find_predictions(folder).files) == ["a"]


def test_the_bids_copies_of_a_prediction_are_passed_over(write_labels: Callable[..., Path]) -> None:
    files = ["sub-01/sub-01_seg.nii.gz", "bids/sub-01/anat/sub-01_desc-tumour_dseg.nii.gz"]
    folder = write_labels("predictions", dict.fromkeys(files, random_label(0)))
    (folder / "bids" / "dataset_description.json").write_text("{}")
    assert find_predictions(folder).files == {"sub-01": folder / files[0]}


def test_two_label_maps_of_one_case_are_refused(write_labels: Callable[..., Path]) -> None:
    folder = write_labels("predictions", dict.fromkeys(("a_t1_seg.nii.gz", "a_t2_seg.nii.gz"), random_label(0)))
    with pytest.raises(InputError, match=r"two label maps of a: a_t1_seg.nii.gz and a_t2_seg.nii.gz"):
        find_predictions(folder)


def test_a_data_set_is_not_taken_for_predictions(dataset: Path) -> None:
    with pytest.raises(InputError, match=r"holds scans beside its label maps"):
        find_predictions(dataset)


def test_a_folder_without_label_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no label map .no NIfTI file at all.: expected files such as"):
        find_predictions(tmp_path)
    with pytest.raises(InputError, match=r"is not a folder"):
        find_truths(tmp_path / "absent")


def test_a_data_set_tells_its_scheme(dataset: Path, write_task01: Callable[..., Path]) -> None:
    truths = find_truths(dataset)
    assert (sorted(truths.files), truths.label_scheme) == (["001", "1e5", "c"], "brats2018")
    task = find_truths(write_task01("BRATS_001"))
    assert (list(task.files), task.label_scheme) == (["BRATS_001"], "msd")
    assert find_truths(dataset, "brats2024_gli").label_scheme == "brats2024_gli"


def test_label_maps_alone_need_a_scheme(write_labels: Callable[..., Path]) -> None:
    folder = write_labels("labelsTr", {"a.nii.gz": random_label(0)})
    with pytest.raises(InputError, match=r"say it with --truth_scheme, one of brats2018, brats2023"):
        find_truths(folder)
    assert find_truths(folder, "brats2018").files == {"a": folder / "a.nii.gz"}


def test_an_unknown_scheme_is_named(dataset: Path) -> None:
    with pytest.raises(InputError, match=r"unknown label_scheme 'brats'"):
        find_truths(dataset, "brats")


def test_scans_without_labels_are_no_truth(write_labels: Callable[..., Path]) -> None:
    folder = write_labels("scans", {"a/a_t2.nii.gz": random_label(0)})
    with pytest.raises(InputError, match=r"scans but no label of any"):
        find_truths(folder)
