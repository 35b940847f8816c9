"""A case comes back from the disk as it went, whole or in parts, or is said to be broken."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.caching.case_cache import BrokenCaseError, StoredArray, read_case, remove_case, write_case
from pkdr_monai.errors import InputError

pytest.importorskip("blosc2")

ARRAYS = {
    "image": np.random.default_rng(0).normal(size=(2, 70, 40, 33)).astype(np.float16),
    "label": np.random.default_rng(1).integers(0, 5, (1, 70, 40, 33)).astype(np.uint8),
}


@pytest.fixture
def case(tmp_path: Path) -> Path:
    write_case(tmp_path / "cache" / "case", ARRAYS)
    return tmp_path / "cache" / "case"


def test_parts_and_wholes_come_back_bit_for_bit(case: Path) -> None:
    arrays = read_case(case)
    assert set(arrays) == set(ARRAYS)
    for name, array in arrays.items():
        assert array.shape == ARRAYS[name].shape
        for index in ((slice(None),) * 4, (slice(None), slice(60, 70), slice(3, 40), slice(31, 33))):
            part = array[index]
            assert part.dtype == ARRAYS[name].dtype
            np.testing.assert_array_equal(part, ARRAYS[name][index])


def test_nothing_but_the_case_is_left(case: Path) -> None:
    assert [path.name for path in case.parent.iterdir()] == ["case"]
    assert sorted(path.name for path in case.iterdir()) == ["case.json", "image.b2nd", "label.b2nd"]


def test_who_shares_the_folder_may_read(case: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert case.stat().st_mode & 0o777 == 0o777 & ~umask
    assert (case / "image.b2nd").stat().st_mode & 0o444 == 0o444 & ~umask


def test_the_first_writer_wins(case: Path) -> None:
    write_case(case, {"image": np.zeros((1, 4, 4, 4), np.float16)})
    assert read_case(case)["image"].shape == ARRAYS["image"].shape
    assert len(list(case.parent.iterdir())) == 1


def test_a_case_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    class Interrupted(dict):
        def items(self) -> object:
            yield "image", ARRAYS["image"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_case(tmp_path / "case", Interrupted())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["truncated", "one bit", "absent", "record", "foreign", "no record"])
def test_damage_is_found_before_use(case: Path, how: str) -> None:
    path, record = case / "image.b2nd", case / "case.json"
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[:-1])
    elif how == "one bit":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "absent":
        path.unlink()
    elif how == "record":
        record.write_text(record.read_text()[:-5])
    elif how == "foreign":
        record.write_text(json.dumps({**json.loads(record.read_text()), "case": "other"}))
    else:
        record.unlink()
    with pytest.raises(BrokenCaseError, match=str(case)):
        read_case(case)


def test_damage_during_use_is_named(case: Path) -> None:
    image = read_case(case)["image"]
    shutil.rmtree(case)
    with pytest.raises(InputError, match=r"cannot read .*image\.b2nd .*start again"):
        image[(slice(None),) * 4]


def test_removing_is_for_all_or_none(case: Path) -> None:
    remove_case(case)
    remove_case(case)
    assert list(case.parent.iterdir()) == []


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to the cache .*file.*--cache_dir"):
        write_case(tmp_path / "file" / "case", ARRAYS)


def test_an_array_knows_its_shape_without_being_opened() -> None:
    assert StoredArray(Path("nowhere"), (1, 2, 3, 4)).shape == (1, 2, 3, 4)
