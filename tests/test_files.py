"""Files are written as a whole, and one process works in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkdr_monai import files as locks
from pkdr_monai.errors import InputError
from pkdr_monai.files import (
    FolderLock,
    atomic_write,
    content_hash,
    file_hash,
    read_json,
    read_object,
    remove_unfinished,
    write_json,
)

REFUSAL = "somebody is here: go elsewhere."
HOLD = """
import sys
from pkdr_monai.files import FolderLock
FolderLock(sys.argv[1], "").take()
print(flush=True)
input()
"""


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


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Another process that has ``tmp_path``."""
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_second_process_is_refused(holder: subprocess.Popen, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=REFUSAL):
        FolderLock(tmp_path, REFUSAL).take()


def test_a_killed_process_leaves_no_lock(holder: subprocess.Popen, tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    FolderLock(tmp_path, REFUSAL).take()


def test_the_folder_is_free_after_the_block(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "new", REFUSAL):
        pass
    assert list((tmp_path / "new").iterdir()) == []
    child = [sys.executable, "-c", HOLD, str(tmp_path / "new")]
    subprocess.run(child, input=b"\n", check=True, capture_output=True)


def test_a_refused_process_leaves_the_holders_file(holder: subprocess.Popen, tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match=REFUSAL):
            FolderLock(tmp_path, REFUSAL).take()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_file_that_its_holder_removes_meanwhile_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, files = FolderLock(tmp_path, REFUSAL), []
    lockf = locks.fcntl.lockf

    def removed_just_before(file: int, command: int) -> None:
        if not files:
            (tmp_path / ".lock").unlink()
        files.append(file)
        lockf(file, command)

    monkeypatch.setattr(locks.fcntl, "lockf", removed_just_before)
    with lock:
        assert len(files) == 2
        child = [sys.executable, "-c", HOLD, str(tmp_path)]
        assert subprocess.run(child, input=b"\n", check=False, capture_output=True).returncode != 0


def test_a_disk_without_locks_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks.fcntl, "lockf", no_locks)
    with FolderLock(tmp_path, REFUSAL):
        assert "cannot be locked (No locks available): nothing keeps a second run out" in caplog.text


def test_a_system_without_such_locks_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    with FolderLock(tmp_path, REFUSAL):
        assert "cannot be locked (this system has none for Python)" in caplog.text


@pytest.mark.skipif(locks.fcntl is None, reason="no fcntl")
def test_a_mount_that_numbers_one_file_twice_does_not_keep_us_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("os.path.samestat", lambda *_: False)
    with FolderLock(tmp_path, REFUSAL):
        assert "cannot be locked (its file system gives one file two numbers)" in caplog.text


@pytest.mark.skipif(locks.fcntl is None, reason="no fcntl")
def test_a_mount_that_keeps_open_files_does_not_spoil_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object, **__: object) -> None:
        raise OSError(16, "Device or resource busy")

    lock = FolderLock(tmp_path, REFUSAL)
    lock.take()
    monkeypatch.setattr(Path, "unlink", busy)
    lock.give_back()
    monkeypatch.undo()
    FolderLock(tmp_path, REFUSAL).take()
