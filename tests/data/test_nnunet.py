"""The cases of nnU-Net's raw folders and of the Decathlon's Task01."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.data import check_cases, find_cases, make_data_list
from pkdr_monai.data.nnunet import find_task01_cases, is_raw_data, is_task01
from pkdr_monai.data.problems import errors_among
from pkdr_monai.errors import InputError

ORDER = ("flair", "t1", "t1ce", "t2")
V1 = {"modality": {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"}}
V1["labels"] = {"0": "background", "1": "edema", "2": "non-enhancing", "3": "enhancing"}
V2: dict[str, Any] = {
    "channel_names": {"0": "Flair", "1": "T1w", "2": "T1-Gd", "3": "T2w"},
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
    "file_ending": ".nii.gz",
}


@pytest.fixture
def raw(write_case: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Write the cases of a BraTS folder as nnU-Net's raw data."""

    def write(description: dict[str, Any], count: int = 4, **case_options: Any) -> Path:
        folder = tmp_path / "Dataset137"
        for part in ("imagesTr", "labelsTr"):
            (folder / part).mkdir(parents=True)
        for name in (f"P{number}" for number in range(count)):
            source = write_case(name, **case_options) / name
            for channel, modality in enumerate(ORDER):
                (source / f"{name}_{modality}.nii.gz").rename(folder / f"imagesTr/{name}_{channel:04}.nii.gz")
            (source / f"{name}_seg.nii.gz").rename(folder / f"labelsTr/{name}.nii.gz")
        (folder / "dataset.json").write_text(json.dumps(description))
        return folder

    return write


@pytest.mark.parametrize("description", [V1, V2])
def test_cases_of_both_versions_are_found_with_their_modalities_and_labels(
    raw: Callable[..., Path], description: dict[str, Any]
) -> None:
    cohort = find_cases(raw(description))
    assert cohort.label_scheme == "msd"
    assert [case.name for case in cohort.cases] == ["P0", "P1", "P2", "P3"]
    assert cohort.cases[0].modalities == {
        modality: f"imagesTr/P0_{ORDER.index(modality):04}.nii.gz" for modality in ("t1", "t1ce", "t2", "flair")
    }
    assert cohort.cases[0].label == "labelsTr/P0.nii.gz"
    assert cohort.cases[0].channels is None


def test_raw_data_is_found_checked_and_split(raw: Callable[..., Path]) -> None:
    labels = {"background": 0, "NCR": 1, "edema": 2, "enhancing": 4}
    folder = raw({**V2, "labels": labels})
    cohort = find_cases(folder)
    assert cohort.label_scheme == "brats2018"
    assert errors_among(check_cases(cohort.cases, folder, cohort.label_scheme)) == []
    data_list = make_data_list(folder)
    assert [len(data_list[section]) for section in ("training", "validation", "test")] == [2, 1, 1]
    entry = data_list["training"][0]
    assert entry["image"][1] == f"imagesTr/{entry['case']}_0002.nii.gz"


def test_a_description_counts_more_than_names(raw: Callable[..., Path]) -> None:
    children = {"background": 0, "enhancing tumor": 1, "necrosis": 2, "edema": 4}
    folder = raw({**V2, "labels": children})
    folder = folder.rename(folder.with_name("Dataset138_BraTS_PED"))  # a name that alone leaves the scheme open
    assert make_data_list(folder)["label_scheme"] == "brats2024_ped"


def test_images_alone_are_cases_without_labels(raw: Callable[..., Path]) -> None:
    folder = raw(V2, count=1) / "imagesTr"
    assert is_raw_data(folder)
    (case,) = find_cases(folder).cases
    assert (case.modalities["flair"], case.label) == ("P0_0000.nii.gz", None)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channel_names": {"0": "CT"}}, "names the channels CT: expected some of t1, t1ce, t2, flair"),
        ({"channel_names": {"0": "T1", "1": "T1w"}}, "each once"),
        ({"channel_names": None}, 'has no table "channel_names"'),
        ({"channel_names": {"0": "T1"}}, "is channel 1, but"),
        ({"labels": {"background": 0, "tumour": 1}}, "describes the labels .*expected the values of oedema"),
        ({"labels": None}, "describes the labels None"),
    ],
)
def test_a_description_that_does_not_tell_is_refused(
    raw: Callable[..., Path], change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        find_cases(raw({**V2, **change}, count=1))


def test_channels_follow_the_description_not_the_projects_order(write_task01: Callable[..., Path]) -> None:
    (case,) = find_task01_cases(write_task01("BRATS_001"))
    assert case.channels == {"t1": 1, "t1ce": 2, "t2": 3, "flair": 0}
    assert case.modalities == dict.fromkeys(("t1", "t1ce", "t2", "flair"), "imagesTr/BRATS_001.nii.gz")
    assert case.label == "labelsTr/BRATS_001.nii.gz"
    assert case.grade is None


def test_cases_are_the_files_that_exist_whatever_the_description_lists(write_task01: Callable[..., Path]) -> None:
    task = write_task01("BRATS_001", "BRATS_002")
    (task / "imagesTr" / "._BRATS_001.nii.gz").touch()
    assert [case.name for case in find_task01_cases(task)] == ["BRATS_001", "BRATS_002"]


def test_case_without_a_label_file_has_none(write_task01: Callable[..., Path]) -> None:
    task = write_task01("BRATS_001")
    (task / "labelsTr" / "BRATS_001.nii.gz").unlink()
    assert find_task01_cases(task)[0].label is None


def test_image_folder_of_a_task_is_a_task_without_labels(write_task01: Callable[..., Path]) -> None:
    images = write_task01("BRATS_001") / "imagesTr"
    assert is_task01(images)
    (case,) = find_task01_cases(images)
    assert (case.modalities["t2"], case.label) == ("BRATS_001.nii.gz", None)


def test_brats_folder_is_no_task(write_case: Callable[..., Path]) -> None:
    assert not is_task01(write_case("HGG/a"))


@pytest.mark.parametrize(
    ("modality", "complaint"),
    [
        ({"0": "CT"}, "names the channels CT: expected each of t1, t1ce, t2, flair once"),
        ({"0": "T1w", "1": "T1"}, "names the channels T1w, T1: expected each"),
        ({"first": "T1w"}, 'has no table "modality"'),
        (None, 'has no table "modality"'),
    ],
)
def test_description_of_something_else_is_refused(
    write_task01: Callable[..., Path], modality: object, complaint: str
) -> None:
    task = write_task01("BRATS_001")
    (task / "dataset.json").write_text(json.dumps({"modality": modality}))
    with pytest.raises(InputError, match=complaint):
        find_task01_cases(task)
