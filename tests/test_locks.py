"""One process in a folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkdr_monai import files as locks
from pkdr_monai.errors import InputError
from pkdr_monai.files import FolderLock

REFUSAL = "somebody is here: go elsewhere."
HOLD = """
import sys
from pkdr_monai.files import FolderLock
FolderLock(sys.argv[1], "").take()
print(flush=True)
input()
"""


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
