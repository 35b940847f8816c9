"""A file is read once, and again as soon as it may have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pkdr_monai.caching import case_cache as file_hashes
from pkdr_monai.caching.case_cache import FileHashes
from pkdr_monai.errors import InputError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(file_hashes, "SETTLED", -1.0)  # as if it had been written long ago
    (tmp_path / "scan").write_bytes(b"first")
    return tmp_path / "scan"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    seen: list[Path] = []
    read = file_hashes.file_hash
    monkeypatch.setattr(file_hashes, "file_hash", lambda path: seen.append(path) or read(path))
    return seen


def test_a_second_start_reads_no_file(file: Path, reads: list[Path]) -> None:
    for _ in range(2):
        hashes = FileHashes(file.parent / "hashes.json")
        assert hashes.of(file) == hashlib.sha256(b"first").hexdigest()
        hashes.save()
    assert reads == [file]


def test_a_changed_file_is_read_even_if_its_size_and_date_are_as_before(file: Path) -> None:
    hashes = FileHashes(file.parent / "hashes.json")
    hashes.of(file)
    hashes.save()
    status = file.stat()
    file.write_bytes(b"other")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FileHashes(hashes.path).of(file) == hashlib.sha256(b"other").hexdigest()


def test_a_file_written_just_now_is_not_remembered(
    file: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "SETTLED", 60.0)
    hashes = FileHashes(file.parent / "hashes.json")
    hashes.of(file)
    hashes.save()
    FileHashes(hashes.path).of(file)
    assert len(reads) == 2


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_memory_is_begun_anew(file: Path, content: str) -> None:
    path = file.parent / "hashes.json"
    path.write_text(content)
    hashes = FileHashes(path)
    assert hashes.of(file) == hashlib.sha256(b"first").hexdigest()
    hashes.save()
    assert str(file) in path.read_text()


def test_what_another_process_learnt_meanwhile_is_kept(file: Path, tmp_path: Path) -> None:
    (tmp_path / "second").write_bytes(b"second")
    one, other = (FileHashes(tmp_path / "hashes.json") for _ in range(2))
    one.of(file), other.of(tmp_path / "second")
    one.save(), other.save()
    assert all(name in (tmp_path / "hashes.json").read_text() for name in ("scan", "second"))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*absent: No such file"):
        FileHashes(tmp_path / "hashes.json").of(tmp_path / "absent")
