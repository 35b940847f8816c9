from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.data.cases import Case
from pkdr_monai.data.entries import case_of, data_list_hash, entry_of, file_sizes
from pkdr_monai.errors import InputError


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
