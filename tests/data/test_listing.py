from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.data.datalist import require_checked, training_items
from pkdr_monai.data.entries import data_list_hash
from pkdr_monai.data.listing import make_data_list, make_fold_lists
from pkdr_monai.data.splits import SECTIONS
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


@pytest.fixture
def with_incomplete(write_case: Callable[..., Path]) -> Path:
    """Three patients with all modalities and two without, of whom one is scanned twice."""
    for name in ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000", "BraTS-GLI-00003-000", "BraTS-GLI-00009-000"):
        folder = write_case(name)
    for patient in (1, 2, 3):
        write_case(f"BraTS-GLI-0000{patient}-001")
        (folder / f"BraTS-GLI-0000{patient}-001/BraTS-GLI-0000{patient}-001_t1ce.nii.gz").unlink()
    (folder / "BraTS-GLI-00009-000/BraTS-GLI-00009-000_t2.nii.gz").unlink()
    return folder


def test_incomplete_cases_train_unless_their_patient_is_scored(
    with_incomplete: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InputError, match="4 errors"):
        make_data_list(with_incomplete)
    with caplog.at_level(logging.WARNING):
        data_list = make_data_list(with_incomplete, incomplete=True)
    listed = names(data_list)
    (patient,) = {name.rpartition("-")[0] for name in listed["training"]} - {"BraTS-GLI-00009"}
    assert listed["training"] == [f"{patient}-000", f"{patient}-001", "BraTS-GLI-00009-000"]
    assert all(name.endswith("-000") for name in listed["validation"] + listed["test"])
    assert "left out, since other scans of these patients validate or test" in caplog.text
    assert data_list["incomplete"] is True
    entry = data_list["training"][2]
    assert entry["channels"] == {"t1": 0, "t1ce": 1, "flair": 2}
    assert len(entry["image"]) == 3


def test_complete_cases_are_divided_as_without_the_others(dataset: Path, write_case: Callable[..., Path]) -> None:
    before = names(make_data_list(dataset, seed=3))
    write_case("LGG/d")
    (dataset / "LGG/d/d_flair.nii.gz").unlink()
    after = names(make_data_list(dataset, seed=3, incomplete=True))
    assert after == {**before, "training": [*before["training"], "d"]}


def test_incomplete_cases_train_in_every_fold(dataset: Path, write_case: Callable[..., Path]) -> None:
    write_case("LGG/d")
    (dataset / "LGG/d/d_flair.nii.gz").unlink()
    lists = make_fold_lists(dataset, 3, validation=1, incomplete=True)
    assert all("d" in names(data_list)["training"] and data_list["incomplete"] for data_list in lists)


def test_a_division_that_would_score_incomplete_cases_is_refused(dataset: Path, tmp_path: Path) -> None:
    (dataset / "LGG/c/c_t1.nii.gz").unlink()
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["b"], "val": ["a"], "test": ["c"]}))
    with pytest.raises(InputError, match="puts c into validation or test, but they lack a modality"):
        make_data_list(dataset, split=split, incomplete=True)


def test_some_cases_have_to_be_complete(dataset: Path) -> None:
    for file in ("HGG/a/a_t1", "HGG/b/b_t2", "LGG/c/c_flair"):
        (dataset / f"{file}.nii.gz").unlink()
    with pytest.raises(InputError, match="all 3 cases lack a modality"):
        make_data_list(dataset, incomplete=True)


def test_an_incomplete_case_needs_its_label(dataset: Path) -> None:
    for content in ("t1", "seg"):
        (dataset / f"LGG/c/c_{content}.nii.gz").unlink()
    with pytest.raises(InputError, match=r"1 errors?(.|\n)*no label file"):
        make_data_list(dataset, incomplete=True)


def test_a_cohort_of_one_modality_has_a_list_of_that_modality(dataset: Path) -> None:
    for path in dataset.rglob("*.nii.gz"):
        if not path.name.endswith(("_t2.nii.gz", "_seg.nii.gz")):
            path.unlink()
    with pytest.raises(InputError, match=r"no case has t1, t1ce, flair(.|\n)*--modality t2"):
        make_data_list(dataset)
    data_list = make_data_list(dataset, modalities=["t2"])
    assert data_list["modality"] == {"0": "T2"}
    assert [list(entry["channels"]) for section in SECTIONS for entry in data_list[section]] == [["t2"]] * 3
    require_checked(data_list, dataset, ["t2"])
    folds = make_fold_lists(dataset, 3, validation=1, modalities=["t2"])
    assert {name for fold in folds for name in names(fold)["test"]} == {"a", "b", "c"}


def test_a_list_of_one_modality_leaves_the_others_of_the_cohort_unread(dataset: Path) -> None:
    (dataset / "HGG/a/a_t1.nii.gz").write_bytes(b"no image")
    data_list = make_data_list(dataset, modalities=["t2", "flair"])
    assert data_list["modality"] == {"0": "T2", "1": "FLAIR"}
    with pytest.raises(InputError, match="t1"):
        training_items(data_list, dataset, "training", ["t1"])
