from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data.datalist import (
    inference_items,
    load_data_list,
    make_data_list,
    named_apart,
    require_checked,
    training_items,
)
from pkdr_monai.data.entries import data_list_hash
from pkdr_monai.data.splits import SECTIONS
from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json

MODALITIES = ("t1", "t1ce", "t2", "flair")


def without_t2(entry: dict[str, Any]) -> dict[str, Any]:
    image = [path for path in entry["image"] if not path.endswith("_t2.nii.gz")]
    return {**entry, "image": image, "channels": {"t1": 0, "t1ce": 1, "flair": 2}}


def as_once_written(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as lists had them before they took the Decathlon's shape: the file of each modality under its name."""
    files = {modality: entry["image"][channel] for modality, channel in entry["channels"].items()}
    kept = {key: value for key, value in entry.items() if key not in ("image", "channels", "label")}
    return {**kept, **files, "label": entry["label"]}


@pytest.fixture
def dataset(write_case: Callable[..., Path]) -> Path:
    for name in ("a", "b", "c"):
        folder = write_case(name)
    return folder


@pytest.fixture
def data_list(dataset: Path) -> dict[str, Any]:
    return make_data_list(dataset)


def test_written_list_is_loaded_as_it_was(tmp_path: Path, data_list: dict[str, Any]) -> None:
    write_json(tmp_path / "list.json", data_list)
    assert load_data_list(tmp_path / "list.json") == data_list


def test_list_as_it_was_once_written_is_still_read(
    tmp_path: Path, dataset: Path, data_list: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {**data_list, **{part: [as_once_written(entry) for entry in data_list[part]] for part in SECTIONS}}
    old["hash"] = data_list_hash(old)
    write_json(tmp_path / "list.json", old)
    loaded = load_data_list(tmp_path / "list.json")
    for section in SECTIONS:
        assert training_items(loaded, dataset, section) == training_items(data_list, dataset, section)
    monkeypatch.setattr("pkdr_monai.data.checks.read_voxels", lambda path: pytest.fail(f"read {path}"))
    require_checked(loaded, dataset)


def test_edited_list_is_refused(tmp_path: Path, data_list: dict[str, Any]) -> None:
    write_json(tmp_path / "list.json", {**data_list, "validation": data_list["training"]})
    with pytest.raises(InputError, match=r"edited by hand\? .*pkdr data split"):
        load_data_list(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a data list"),
        ('{"training": []}', "describes the labels None"),
        ('{"training": [], "hash": "x"}', "not a data list"),
        (None, "cannot read"),
    ],
)
def test_what_is_no_data_list_is_refused(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=complaint):
        load_data_list(path)


@pytest.mark.parametrize("modalities", [MODALITIES, ("t2",), ("flair", "t1")])
def test_item_has_the_wanted_modalities_in_their_order(
    dataset: Path, data_list: dict[str, Any], modalities: tuple[str, ...]
) -> None:
    (item,) = training_items(data_list, dataset, "training", modalities)
    case = item["case"]
    assert item["image"] == [str(dataset / case / f"{case}_{modality}.nii.gz") for modality in modalities]
    assert item["label"] == str(dataset / case / f"{case}_seg.nii.gz")
    assert item["scheme"] == "brats2018"
    assert "channels" not in item


def test_item_of_a_4d_file_has_its_path_and_the_channels_to_take(write_task01: Callable[..., Path]) -> None:
    task = write_task01("BRATS_001")
    (item,) = training_items(make_data_list(task), task, "training", ("flair", "t2"))
    assert item["image"] == str(task / "imagesTr/BRATS_001.nii.gz")
    assert item["channels"] == [0, 3]
    assert item["scheme"] == "msd"


def test_relative_folder_gives_absolute_paths(
    dataset: Path, data_list: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dataset.parent)
    assert Path(training_items(data_list, "data", "test", ["t1"])[0]["image"][0]).is_absolute()


def test_empty_and_unknown_sections_are_refused(dataset: Path, data_list: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="has no test case"):
        training_items({**data_list, "test": []}, dataset, "test", MODALITIES)
    with pytest.raises(InputError, match="unknown section 'train'"):
        training_items(data_list, dataset, "train", MODALITIES)


def test_missing_modality_and_file_are_named_with_their_case(dataset: Path, data_list: dict[str, Any]) -> None:
    entry = data_list["training"][0]
    with pytest.raises(InputError, match=f"case {entry['case']} has no t2 file"):
        training_items({**data_list, "training": [without_t2(entry)]}, dataset, "training", MODALITIES)
    (dataset / entry["image"][2]).unlink()
    with pytest.raises(InputError, match=rf"case {entry['case']}: the t2 file .*{entry['image'][2]} is absent"):
        training_items(data_list, dataset, "training", MODALITIES)


@pytest.fixture
def incomplete_list(dataset: Path, data_list: dict[str, Any]) -> dict[str, Any]:
    """Two training cases, of which one lacks its T2."""
    lacking = without_t2(data_list["validation"][0])
    return {**data_list, "incomplete": True, "training": [*data_list["training"], lacking]}


def test_a_network_that_needs_all_modalities_trains_without_incomplete_cases(
    dataset: Path, data_list: dict[str, Any], incomplete_list: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        items = training_items(incomplete_list, dataset, "training")
    assert items == training_items(data_list, dataset, "training")
    assert f"leaves out 1 of 2 cases, since this network needs all of {', '.join(MODALITIES)}" in caplog.text
    with pytest.raises(InputError, match="no training case has all of t2"):
        training_items({**incomplete_list, "training": incomplete_list["training"][1:]}, dataset, "training", ["t2"])


def test_incomplete_cases_come_with_what_they_have(dataset: Path, incomplete_list: dict[str, Any]) -> None:
    complete, lacking = training_items(incomplete_list, dataset, "training", incomplete=True)
    assert (complete["channels"], lacking["channels"]) == ([0, 1, 2, 3], [0, 1, -1, 2])
    assert len(complete["image"]) == 4
    assert [Path(file).name.split("_")[1] for file in lacking["image"]] == ["t1.nii.gz", "t1ce.nii.gz", "flair.nii.gz"]


def test_incomplete_case_of_a_4d_file_names_its_channels(write_task01: Callable[..., Path]) -> None:
    task = write_task01("BRATS_001")
    data_list = {**make_data_list(task), "incomplete": True}
    del data_list["training"][0]["channels"]["t1ce"]
    (item,) = training_items(data_list, task, "training", incomplete=True)
    assert item["channels"] == [1, -1, 3, 0]


def test_incomplete_cases_neither_validate_nor_test(dataset: Path, incomplete_list: dict[str, Any]) -> None:
    scored = {**incomplete_list, "test": incomplete_list["training"][1:]}
    with pytest.raises(InputError, match="has no t2 file"):
        training_items(scored, dataset, "test", incomplete=True)


def test_what_an_incomplete_case_has_is_checked_before_training(dataset: Path, incomplete_list: dict[str, Any]) -> None:
    require_checked(incomplete_list, dataset)
    (dataset / incomplete_list["training"][1]["image"][0]).write_bytes(b"broken")
    with pytest.raises(InputError, match="not compressed"):
        require_checked(incomplete_list, dataset)


def test_label_is_left_out_where_it_is_absent_and_not_needed(dataset: Path, data_list: dict[str, Any]) -> None:
    entry = {key: value for key, value in data_list["test"][0].items() if key != "label"}
    (item,) = training_items({**data_list, "test": [entry]}, dataset, "test", ["t1"], need_label=False)
    assert "label" not in item
    with pytest.raises(InputError, match="has no label file"):
        training_items({**data_list, "test": [entry]}, dataset, "test", ["t1"])


def test_path_that_leaves_the_folder_is_refused(dataset: Path, data_list: dict[str, Any]) -> None:
    entry = data_list["test"][0]
    entry = {**entry, "image": ["../data/a/a_t1.nii.gz", *entry["image"][1:]]}
    with pytest.raises(InputError, match="relative to the data set's folder"):
        training_items({**data_list, "test": [entry]}, dataset, "test", ["t1"])


def test_unchanged_files_are_not_read_again(
    dataset: Path, data_list: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkdr_monai.data.checks.read_voxels", lambda path: pytest.fail(f"read {path}"))
    require_checked(data_list, dataset)


def test_file_that_changed_since_the_list_was_written_is_checked_again(
    dataset: Path, data_list: dict[str, Any], save_nifti: Callable[..., None]
) -> None:
    save_nifti(dataset / data_list["training"][0]["image"][2], np.full((8, 9, 7), np.nan, np.float32))
    with pytest.raises(InputError, match="NaN"):
        require_checked(data_list, dataset)
    require_checked(data_list, dataset, modalities=["t1"])


def test_scans_that_a_person_accepted_are_accepted_before_a_training_too(
    dataset: Path, data_list: dict[str, Any], save_nifti: Callable[..., None]
) -> None:
    path = dataset / data_list["training"][0]["image"][2]
    save_nifti(path, nib.load(path).get_fdata(dtype=np.float32) + np.float32(0.01))  # a background that is not 0
    with pytest.raises(InputError, match="has a background"):
        require_checked(data_list, dataset)
    require_checked({**data_list, "accept_scans": True}, dataset)


def test_case_of_a_list_without_sizes_is_checked_in_full(
    dataset: Path, data_list: dict[str, Any], save_nifti: Callable[..., None]
) -> None:
    entry = data_list["validation"][0]
    save_nifti(dataset / entry["label"], np.zeros((8, 9, 7), np.uint8))
    entry["bytes"]["label"] = (dataset / entry["label"]).stat().st_size
    require_checked(data_list, dataset)
    del entry["bytes"]
    with pytest.raises(InputError, match="the label is empty"):
        require_checked(data_list, dataset)


def test_file_deleted_since_is_found_before_training(dataset: Path, data_list: dict[str, Any]) -> None:
    (dataset / data_list["validation"][0]["label"]).unlink()
    with pytest.raises(InputError, match="cannot be opened"):
        require_checked(data_list, dataset)


def test_deleted_test_case_does_not_stop_training(dataset: Path, data_list: dict[str, Any]) -> None:
    (dataset / data_list["test"][0]["label"]).unlink()
    require_checked(data_list, dataset)


def test_folder_of_cases_gives_one_item_a_case(dataset: Path) -> None:
    items = inference_items(dataset, ("flair", "t1"))
    assert [item["case"] for item in items] == ["a", "b", "c"]
    assert [item["image"] for item in items] == [
        [str(dataset / f"{n}/{n}_flair.nii.gz"), str(dataset / f"{n}/{n}_t1.nii.gz")] for n in "abc"
    ]


def test_folder_of_one_case_gives_one_item(dataset: Path) -> None:
    assert inference_items(str(dataset / "a"), ["t2"]) == [{"case": "a", "image": [str(dataset / "a/a_t2.nii.gz")]}]


def test_decathlon_folders_give_the_4d_files_with_the_channels_to_take(write_task01: Callable[..., Path]) -> None:
    task = write_task01("BRATS_001", "BRATS_002")
    expected = [str(task / f"imagesTr/BRATS_00{number}.nii.gz") for number in (1, 2)]
    for folder, modalities, channels in ((task, MODALITIES, [1, 2, 3, 0]), (task / "imagesTr", ["t2"], [3])):
        items = inference_items(folder, modalities)
        assert [item["image"] for item in items] == expected
        assert [item["channels"] for item in items] == [channels, channels]


def test_scans_of_one_name_are_refused_before_one_overwrites_the_other(tmp_path: Path) -> None:
    for case in ("ann", "bob"):
        (tmp_path / case).mkdir()
        (tmp_path / case / "t2.nii.gz").touch()
    with pytest.raises(InputError, match=r"ann.t2\.nii\.gz and .*bob.t2\.nii\.gz have one file name"):
        inference_items(tmp_path, ["t2"])


@pytest.mark.parametrize("other", ["t2.nii", "T2.nii.gz", "T2.NII"])
def test_endings_and_letter_case_do_not_keep_results_apart(tmp_path: Path, other: str) -> None:
    for case, name in (("p1", "t2.nii.gz"), ("p2", other)):
        (tmp_path / case).mkdir()
        (tmp_path / case / name).touch()
    with pytest.raises(InputError, match="would overwrite each other"):
        inference_items(tmp_path, ["t2"])


def test_a_file_whose_name_names_two_modalities_is_refused_with_both(tmp_path: Path) -> None:
    (tmp_path / "FLAIR_reg_T1.nii.gz").touch()
    for given in (tmp_path, [tmp_path / "FLAIR_reg_T1.nii.gz"]):
        with pytest.raises(InputError, match=r"'FLAIR' \(flair\) and 'T1' \(t1\).*--flair FILE or --t1 FILE"):
            inference_items(given, ["t1"])


def test_named_files_are_put_together_to_cases(dataset: Path) -> None:
    files = [dataset / f"{name}/{name}_{modality}.nii.gz" for name in "ba" for modality in ("flair", "seg", "t1")]
    expected = [[str(dataset / f"{name}/{name}_{modality}.nii.gz") for modality in ("t1", "flair")] for name in "ab"]
    assert [item["image"] for item in inference_items(files, ("t1", "flair"))] == expected


def test_one_file_needs_no_modality_in_its_name_for_a_network_of_one(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.touch()
    assert [item["image"] for item in inference_items(path, ["t2"])] == [[str(path)]]
    with pytest.raises(InputError, match=r"does not give its modality: expected files named <case>_t1\.nii\.gz"):
        inference_items(path, ["t1", "t2"])


def test_case_without_a_wanted_modality_is_refused_by_name(dataset: Path) -> None:
    (dataset / "b/b_t2.nii.gz").unlink()
    with pytest.raises(InputError, match="case b has no t2 file; it has t1, t1ce, flair, label"):
        inference_items(dataset, ["t2"])
    with pytest.raises(InputError, match="case a has no t2 file"):
        inference_items([dataset / "a/a_t1.nii.gz"], ["t2"])


def test_case_with_two_files_of_a_wanted_modality_is_refused(dataset: Path) -> None:
    (dataset / "a/a_t2.nii").touch()
    with pytest.raises(InputError, match=r"case a has two t2 files, a/a_t2\.nii and a/a_t2\.nii\.gz"):
        inference_items(dataset, ["t2"])
    assert len(inference_items(dataset, ["t1"])) == 3


@pytest.mark.parametrize("name", ["absent.nii.gz", "notes.txt"])
def test_file_that_is_no_scan_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="neither a folder nor a NIfTI file"):
        inference_items(tmp_path / name, ["t2"])


@pytest.mark.parametrize("second", ["p2/t2.nii", "p2/T2.nii.gz", ["p2/t2.nii.gz", "p2/flair.nii.gz"]])
def test_list_written_by_hand_whose_results_would_overwrite_each_other_is_refused(second: Any) -> None:
    with pytest.raises(InputError, match="would overwrite each other"):
        named_apart(["p1/t2.nii.gz", {"image": second}])


def test_list_written_by_hand_keeps_what_it_says() -> None:
    items = [{"image": ["a_t2.nii.gz"], "case": "a"}, "b_t2.nii.gz"]
    assert named_apart(items) == [{"image": ["a_t2.nii.gz"], "case": "a"}, {"image": "b_t2.nii.gz"}]
