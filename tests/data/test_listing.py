from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.data.entries import data_list_hash
from pkdr_monai.data.listing import make_data_list, make_fold_lists
from pkdr_monai.errors import InputError
from tests.conftest import volumes


@pytest.fixture
def dataset(write_case: Callable[..., Path]) -> Path:
    for name in ("HGG/a", "HGG/b", "LGG/c"):
        folder = write_case(name)
    return folder


def names(data_list: dict) -> dict[str, list[str]]:
    return {section: [entry["case"] for entry in data_list[section]] for section in ("training", "validation", "test")}


def test_data_list_names_every_file_relative_to_the_folder(dataset: Path) -> None:
    data_list = make_data_list(dataset)
    own = ["label_scheme", "seed", "training", "validation", "test", "hash"]
    assert list(data_list) == ["name", "tensorImageSize", "modality", "labels", "numTraining", "numTest", *own]
    assert (data_list["name"], data_list["label_scheme"], data_list["seed"]) == ("data", "brats2018", 0)
    (entry,) = (e for section in ("training", "validation", "test") for e in data_list[section] if e["case"] == "c")
    assert entry["grade"] == "LGG"
    assert entry["image"] == [f"LGG/c/c_{modality}.nii.gz" for modality in ("t1", "t1ce", "t2", "flair")]
    assert entry["channels"] == {"t1": 0, "t1ce": 1, "t2": 2, "flair": 3}
    assert entry["label"] == "LGG/c/c_seg.nii.gz"
    assert entry["bytes"]["t2"] == (dataset / "LGG/c/c_t2.nii.gz").stat().st_size


def test_data_list_is_plain_json_and_the_same_each_time(dataset: Path) -> None:
    data_list = make_data_list(dataset, seed=5)
    assert json.loads(json.dumps(data_list)) == data_list == make_data_list(str(dataset), seed=5)


def test_decathlon_entries_hold_their_channels(write_task01: Callable[..., Path]) -> None:
    (entry,) = make_data_list(write_task01("BRATS_001"))["training"]
    assert entry["channels"] == {"t1": 1, "t1ce": 2, "t2": 3, "flair": 0}
    assert entry["image"] == "imagesTr/BRATS_001.nii.gz"


def test_given_division_is_used_and_leaves_other_cases_unchecked(dataset: Path, tmp_path: Path) -> None:
    (dataset / "LGG/c/c_t1.nii.gz").write_bytes(b"broken")
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["b"], "val": ["a"]}))
    data_list = make_data_list(dataset, split=split)
    assert names(data_list) == {"training": ["b"], "validation": ["a"], "test": []}
    assert data_list["seed"] is None


def test_errors_are_refused_in_one_table_that_names_the_cases_to_exclude(dataset: Path) -> None:
    (dataset / "HGG/a/a_t1.nii.gz").unlink()
    (dataset / "LGG/c/c_t1.nii.gz").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"2 errors(.|\n)*no t1 file(.|\n)*not compressed(.|\n)*--exclude a,c"):
        make_data_list(dataset)


def test_excluded_case_is_neither_checked_nor_listed(dataset: Path) -> None:
    (dataset / "HGG/a/a_t1.nii.gz").unlink()
    listed = names(make_data_list(dataset, exclude=["a"]))
    assert sorted(name for section in listed.values() for name in section) == ["b", "c"]


def test_warnings_are_logged_and_do_not_stop(
    dataset: Path, save_nifti: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    flair = volumes()["flair"]
    flair[6:] = 0
    save_nifti(dataset / "HGG/a/a_flair.nii.gz", flair)
    with caplog.at_level(logging.WARNING):
        make_data_list(dataset)
    assert "flair has a smaller field of view" in " ".join(caplog.text.split())


def test_folds_are_data_lists_that_know_their_number(dataset: Path) -> None:
    lists = make_fold_lists(dataset, 3, seed=2, validation=1)
    assert [(data_list["seed"], data_list["fold"], data_list["folds"]) for data_list in lists] == [
        (2, 0, 3),
        (2, 1, 3),
        (2, 2, 3),
    ]
    assert sorted(entry["case"] for data_list in lists for entry in data_list["test"]) == ["a", "b", "c"]
    assert all(data_list["hash"] == data_list_hash(data_list) for data_list in lists)
    assert len({data_list["hash"] for data_list in lists}) == 3
