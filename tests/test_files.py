from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import (
    atomic_write,
    content_hash,
    file_hash,
    read_json,
    read_object,
    remove_unfinished,
    write_json,
)


def test_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as file:
            file.write(b"half of the n")
            raise RuntimeError("full disk")

    with pytest.raises(RuntimeError, match="full disk"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_is_not_there_before_the_write_is_whole(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "new" / "a.txt") as file:
        file.write(b"x")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"x"


@pytest.mark.skipif(os.name == "nt", reason="POSIX file modes")
def test_file_is_as_readable_as_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_json(tmp_path / "a.json", {})
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.json", "plain")]
    assert modes[0] == modes[1]


def test_json_survives_the_way_to_disk_and_back(tmp_path: Path) -> None:
    content = {"names": ["ä", "b"], "seed": None}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content


def test_absent_file_and_broken_json_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*a\.json: No such file"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_binary_file_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\x80\x81")
    with pytest.raises(InputError, match="is not valid JSON"):
        read_json(tmp_path / "a.json")


def test_hash_sees_content_not_order() -> None:
    assert content_hash({"a": [1, 2], "b": 0}) == content_hash({"b": 0, "a": [1, 2]})
    assert content_hash({"a": [1, 2]}) != content_hash({"a": [2, 1]})


def test_process_killed_in_mid_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"old and whole")
    code = (
        "import os, signal, sys\n"
        "from pkdr_monai.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'new' * 100_000)\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old and whole"
    (tmp_path / ".env").touch()
    assert len(list(tmp_path.iterdir())) == 3
    remove_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / ".env", path]


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = b"0123456789" * 300_000  # more than one block
    (tmp_path / "a").write_bytes(content)
    assert file_hash(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_the_old_file_is_kept_on_demand_once_the_new_one_is_whole(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.txt", tmp_path / "a_before.txt"

    def write(text: bytes) -> None:
        with atomic_write(path, keep=kept) as file:
            file.write(text)
            if text == b"third":
                raise RuntimeError("killed")

    write(b"first")
    assert not kept.exists()
    write(b"second")
    assert (path.read_bytes(), kept.read_bytes()) == (b"second", b"first")
    with pytest.raises(RuntimeError, match="killed"):
        write(b"third")
    assert (path.read_bytes(), kept.read_bytes()) == (b"second", b"first")


def test_a_full_disk_names_the_file_that_it_has_no_room_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_json_that_is_no_object_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(InputError, match=r"a\.json holds a list: expected a JSON object"):
        read_object(tmp_path / "a.json")


def test_json_too_deep_to_read_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"a\.json is not valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("call", ["chmod", "fsync"])
@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_permissions_or_sync_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    write_json(tmp_path / "a.json", {"whole": True})
    write_json(tmp_path / "a.json", {"whole": "again"})
    assert read_json(tmp_path / "a.json") == {"whole": "again"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_at_sync_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []


def test_name_in_bytes_that_are_no_utf_8_survives_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9_t2.nii.gz")
    write_json(tmp_path / "a.json", {"file": name})
    assert os.fsencode(read_json(tmp_path / "a.json")["file"]) == b"caf\xe9_t2.nii.gz"
