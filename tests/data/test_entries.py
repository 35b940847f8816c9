"""A data list holds cases as plain data, which MONAI reads as one of the Decathlon."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.data import load_decathlon_datalist, load_decathlon_properties
from monai.transforms import LoadImage

from pkdr_monai.data.cases import Case
from pkdr_monai.data.datalist import load_data_list, make_data_list, require_checked, training_items
from pkdr_monai.data.entries import case_of, complete_list, data_list_hash, decathlon_keys, entry_of, file_sizes
from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json

TASK01: dict[str, Any] = {
    "name": "BRATS",
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
    "test": ["./imagesTs/BRATS_900.nii.gz"],
}


@pytest.mark.parametrize(
    "case",
    [
        Case("a", {"t1": "a/a_t1.nii", "flair": "a/a_flair.nii"}, "a/a_seg.nii", "HGG"),
        Case("b", {"t2": "b_t2.nii"}),
        Case("c", {"t1": "c.nii", "t2": "c.nii"}, "l.nii", channels={"t1": 1, "t2": 3}),
    ],
)
def test_case_survives_the_way_to_an_entry_and_back(case: Case, tmp_path: Path) -> None:
    assert case_of(entry_of(case, tmp_path)) == case


def test_sizes_are_those_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_bytes(b"12345")
    assert file_sizes(Case("a", {"t1": "a.nii"}, "absent.nii"), tmp_path) == {"t1": 5, "label": -1}


@pytest.mark.parametrize(
    "path", ["../a.nii", "x/../../a.nii", "/etc/a.nii", "C:/a.nii", "..\\a.nii", "\\\\host\\a.nii"]
)
def test_file_outside_of_the_data_set_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"case a has the file .* relative to the data set's folder"):
        case_of({"case": "a", "t1": path})


def test_hash_passes_over_the_name_and_sees_all_else() -> None:
    data_list = {"name": "here", "training": [{"case": "a"}]}
    assert data_list_hash(data_list) == data_list_hash({**data_list, "name": "there", "hash": "x"})
    assert data_list_hash(data_list) != data_list_hash({**data_list, "training": [{"case": "b"}]})


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (None, "the data list holds None: expected an entry"),
        ({"t1": "a.nii"}, "expected an entry with the name of a case"),
        ({"case": 1}, "expected an entry with the name of a case"),
        ({"case": "../../x", "t1": "a.nii"}, "a case is named"),
        ({"case": "a", "t1": 5}, "case a has t1 5"),
        ({"case": "a", "t1": "a\0.nii"}, "case a has t1"),
        ({"case": "a", "channels": {"t1": "0"}}, "case a has channels"),
        ({"case": "a", "t1": "a.nii", "channels": {"t2": 0}}, "case a has no channel of t1"),
        ({"case": "a", "t1": "a.nii", "channels": {"t1": -1}}, "case a has no channel of t1"),
        ({"case": "a", "bytes": [1]}, "case a has bytes"),
    ],
)
def test_what_is_no_entry_is_refused(entry: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        case_of(entry)


def written(content: dict[str, Any], path: Path) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def dataset(write_case: Callable[..., Path]) -> Path:
    for name in ("a", "b", "c"):
        folder = write_case(name)
    return folder


def test_monai_reads_the_cases_with_their_files(dataset: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "list.json", make_data_list(dataset))
    for section in ("training", "validation", "test"):
        (entry,) = load_decathlon_datalist(tmp_path / "list.json", data_list_key=section, base_dir=dataset)
        (item,) = training_items(load_data_list(tmp_path / "list.json"), dataset, section)
        assert entry["image"] == item["image"]
        assert entry["label"] == item["label"]
        assert LoadImage(image_only=True)(entry["image"]).shape[0] == 4


def test_monai_reads_the_properties(dataset: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "list.json", make_data_list(dataset))
    keys = ("name", "modality", "labels", "numTraining", "numTest", "tensorImageSize")
    found = load_decathlon_properties(tmp_path / "list.json", keys)
    assert found["modality"] == {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}
    assert found["labels"]["2"] == "oedema"
    assert (found["numTraining"], found["numTest"]) == (1, 1)


def test_channels_of_a_4d_file_are_named_in_the_order_of_the_file() -> None:
    case = Case("a", {"t1": "a.nii", "t2": "a.nii"}, channels={"t1": 1, "t2": 0})
    assert decathlon_keys([case], "msd", 1, 0)["modality"] == {"0": "T2", "1": "T1"}


def test_the_decathlons_own_list_trains_with_a_warning(
    write_task01: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = write_task01("BRATS_001")
    with caplog.at_level(logging.WARNING):
        data_list = load_data_list(written(TASK01, tmp_path / "list.json"))
    assert "has no hash: it is taken as it is" in caplog.text
    (item,) = training_items(data_list, task, "training", ["t1", "flair"])
    assert (item["case"], item["scheme"], item["channels"]) == ("BRATS_001", "msd", [1, 0])
    assert item["image"] == str(task / "imagesTr" / "BRATS_001.nii.gz")
    assert [entry["case"] for entry in data_list["test"]] == ["BRATS_900"]
    require_checked(data_list, task)


def test_names_of_the_files_say_which_modality_each_is(dataset: Path) -> None:
    files = [f"a/a_{modality}.nii.gz" for modality in ("flair", "t1", "t2", "t1ce")]
    listed = {"label_scheme": "brats2018", "training": [{"image": files, "label": "a/a_seg.nii.gz"}]}
    (item,) = training_items(complete_list("list.json", listed), dataset, "training", ["t2", "flair"])
    assert item["case"] == "a"
    assert item["image"] == [str(dataset / files[2]), str(dataset / files[0])]


def test_a_list_without_hash_is_still_one_of_the_files_that_it_names(dataset: Path, tmp_path: Path) -> None:
    data_list = make_data_list(dataset)
    del data_list["hash"]
    assert load_data_list(written(data_list, tmp_path / "list.json"))["training"] == data_list["training"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"labels": None}, "describes the labels None"),
        ({"modality": None}, "no table .*from channel to name"),
        ({"training": {}}, "expected a list of cases under 'training'"),
        ({"test": [{"label": "x"}]}, "expected an entry with the name of a case"),
        ({"training": [{"image": 5, "case": "a"}]}, "case a has image 5"),
        ({"training": [{"image": "/etc/x.nii"}]}, "relative to the data set's folder"),
        ({"training": [{"image": ["a.nii", "b.nii"], "channels": {"t1": 0}}]}, "an image of 2 files"),
        ({"training": [{"image": "a.nii", "channels": {"ct": 0}}]}, "expected the place in its image"),
    ],
)
def test_what_cannot_be_told_is_refused(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=complaint):
        load_data_list(written({**TASK01, **change}, tmp_path / "list.json"))
