"""Zips have the bytes that their content gives, and what is unpacked can do no harm."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.packaging import archive
from pkdr_monai.packaging.archive import large_files_page, read_large_files, unpack_archive, write_archive


def _write(path: Path, *entries: str | zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for entry in entries:
            file.writestr(entry, b"content")
    return path


def test_the_bytes_depend_on_the_content_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_bytes(b"same")
    second.write_bytes(b"same")
    os.utime(first, (0, 0))
    first.chmod(0o777)
    write_archive(tmp_path / "a.zip", {"n/a.py": first, "n/b": b"b"})
    umask = os.umask(0o077)
    try:
        write_archive(tmp_path / "b.zip", {"n/b": b"b", "n/a.py": second})
    finally:
        os.umask(umask)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_entries_are_readable_by_everybody(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.zip", {"n/a": b"a"})
    (entry,) = zipfile.ZipFile(tmp_path / "a.zip").infolist()
    assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
    assert entry.compress_type == zipfile.ZIP_STORED


def test_what_was_written_is_unpacked(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.zip", {"name/configs/a.json": b"{}", "name/LICENSE": b"text"})
    root = unpack_archive(tmp_path / "a.zip", tmp_path / "out")
    assert root == tmp_path / "out" / "name"
    assert (root / "configs" / "a.json").read_bytes() == b"{}"


@pytest.mark.parametrize("name", ["name/../../evil", "/evil", "name/..", "C:/evil", "name\\..\\evil"])
def test_an_entry_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("name")
    entry.filename = name  # the constructor would change it
    path = _write(tmp_path / "a.zip", "name/a", entry)
    with pytest.raises(InputError, match="would be written outside the folder"):
        unpack_archive(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("name/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(InputError, match="is a link"):
        unpack_archive(_write(tmp_path / "a.zip", link), tmp_path / "out")


def test_what_is_too_large_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "a.zip", "name/a", "name/b")
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    with pytest.raises(InputError, match="would unpack to 2 files"):
        unpack_archive(path, tmp_path / "out")
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    monkeypatch.setattr(archive, "MAX_FILES", 1)
    with pytest.raises(InputError, match="more than 1 files"):
        unpack_archive(path, tmp_path / "out")


@pytest.mark.parametrize("names", [("a/x", "b/x"), ("x",), ()])
def test_all_has_to_lie_in_one_folder(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected all files in one folder"):
        unpack_archive(_write(tmp_path / "a.zip", *names), tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have one name"):
        unpack_archive(_write(tmp_path / "a.zip", "n/a", "n/a"), tmp_path / "out")


def test_a_damaged_and_an_absent_zip_are_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.zip", "name/a")
    path.write_bytes(path.read_bytes().replace(b"content", b"changed"))
    with pytest.raises(InputError, match="is not a sound zip"):
        unpack_archive(path, tmp_path / "out")
    with pytest.raises(InputError, match="cannot unpack"):
        unpack_archive(tmp_path / "none.zip", tmp_path / "out")


def test_what_would_grow_beyond_measure_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("name/a", b"\0" * 2**20)
    with pytest.raises(InputError, match="bytes would unpack to 1,048,576"):
        unpack_archive(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_entry_that_is_larger_than_it_says_is_not_unpacked_further(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("name/a", os.urandom(1000) + b"\0" * 20_000)
    claimed = (21_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(claimed, (100).to_bytes(4, "little")))
    with pytest.raises(InputError, match="is not a sound zip"):
        unpack_archive(path, tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) <= 100


def test_what_is_written_is_read(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    page = large_files_page({"models/model.pt": weights}, "https://example.org/weights/")
    (tmp_path / "large_files.yml").write_text(page)
    assert read_large_files(tmp_path) == {
        "models/model.pt": {
            "path": "models/model.pt",
            "url": "https://example.org/weights/model.pt",
            "hash_val": file_hash(weights),
            "hash_type": "sha256",
        }
    }


def test_a_bundle_without_the_page_hosts_nothing(tmp_path: Path) -> None:
    assert read_large_files(tmp_path) == {}


def test_a_url_that_monai_does_not_download_from_is_refused() -> None:
    with pytest.raises(InputError, match="expected the URL of a folder"):
        large_files_page({}, "weights")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("large_files: [}", "is not valid YAML"),
        ("[]", "is not as MONAI reads it"),
        ("large_files:\n- {path: a}\n", "is not as MONAI reads it"),
        ("large_files:\n- {path: ../a, url: u, hash_val: h, hash_type: sha256}\n", "lies outside the bundle"),
    ],
)
def test_a_page_that_is_not_as_monai_reads_it_is_refused(page: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "large_files.yml").write_text(page)
    with pytest.raises(InputError, match=words):
        read_large_files(tmp_path)
