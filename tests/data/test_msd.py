from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.data.nnunet import find_task01_cases, is_task01
from pkdr_monai.errors import InputError


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
