"""One process in a folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkdr_monai import locks
from pkdr_monai.errors import InputError
from pkdr_monai.locks import FolderLock

REFUSAL = "somebody is here: go elsewhere."
HOLD = """
import sys
from pkdr_monai.locks import FolderLock
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
    child = [sys.executable, "-c", HOLD, str(tmp_path / "new")]
    subprocess.run(child, input=b"\n", check=True, capture_output=True)


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
