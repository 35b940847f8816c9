"""Zips whose bytes depend on their content alone, and the careful unpacking of those that others made."""

from __future__ import annotations

import shutil
import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write, file_hash

__all__ = ["LARGE_FILES", "large_files_page", "read_large_files", "unpack_archive", "write_archive"]

TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
PERMISSIONS = (stat.S_IFREG | 0o644) << 16
UNIX = 3  # the system that a zip says it was made on
MAX_FILES = 10_000
MAX_BYTES = 8 * 2**30
MAX_GROWTH = 100  # times the size of the zip; weights do not shrink, and text not by so much


def write_archive(path: str | Path, files: Mapping[str, Path | bytes]) -> None:
    """Write a zip: the same content gives the same bytes, whoever writes it, when and where.

    Entries are sorted, their times and permissions fixed. Nothing is compressed: weights hardly shrink, and versions of
    zlib write different bytes for the same text.

    Args:
        path: the zip, replaced at once.
        files: by its name in the zip, with slashes, what each file holds: bytes, or the path of a file to copy.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.zip"
        >>> write_archive(path, {"a/LICENSE": b"Apache-2.0"})
        >>> zipfile.ZipFile(path).read("a/LICENSE")
        b'Apache-2.0'
    """
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            content = files[name]
            entry = zipfile.ZipInfo(name, TIMESTAMP)
            entry.create_system, entry.external_attr = UNIX, PERMISSIONS
            if isinstance(content, bytes):
                archive.writestr(entry, content)
                continue
            entry.file_size = content.stat().st_size
            with content.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)


def unpack_archive(path: str | Path, folder: str | Path) -> Path:
    """Unpack a bundle's zip, after a look at every entry: none may leave the folder, be a link, or be too large.

    Args:
        path: the zip. All that it holds lies in one folder.
        folder: where to unpack; a new or empty folder.

    Returns:
        The bundle's root, ``folder / NAME``.

    Raises:
        InputError: when the file is no sound zip, or is refused; nothing has been written then, unless it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            top = _only_folder(archive.infolist(), path)
            archive.extractall(folder)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot unpack {path}: {error.strerror or error}. Check the path.") from error
    except Exception as error:  # zipfile hands on whatever damaged bytes raise in zlib, struct and its own indices
        what = str(error) or type(error).__name__
        raise InputError(f"{path} is not a sound zip ({what}). Use another copy.") from error
    return Path(folder) / top


def _only_folder(entries: Iterable[zipfile.ZipInfo], path: str | Path) -> str:
    """Return the one folder in which all entries lie.

    Raises:
        InputError: when there are several, or an entry is refused.
    """
    entries = list(entries)
    tops = set()
    for entry in entries:
        parts = PurePosixPath(entry.filename).parts
        if entry.filename.startswith("/") or ".." in parts or "\\" in entry.filename or ":" in entry.filename:
            raise InputError(f"{path} was refused: its entry {entry.filename!r} would be written outside the folder.")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise InputError(f"{path} was refused: its entry {entry.filename!r} is a link, where a file belongs.")
        tops.add(parts[0] if len(parts) > 1 or entry.is_dir() else "")
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_FILES or size > MAX_BYTES:
        raise InputError(
            f"{path} was refused: it would unpack to {len(entries)} files of {size / 2**30:.1f} GiB, "
            f"more than {MAX_FILES} files or {MAX_BYTES / 2**30:.0f} GiB."
        )
    held = Path(path).stat().st_size
    if size > MAX_GROWTH * held:
        raise InputError(f"{path} was refused: its {held:,} bytes would unpack to {size:,}, as no bundle's do.")
    if len({entry.filename for entry in entries}) < len(entries):
        raise InputError(f"{path} was refused: two of its entries have one name.")
    if len(tops) != 1 or "" in tops:
        raise InputError(f"{path} is no bundle's zip: expected all files in one folder, the bundle's name.")
    return tops.pop()


LARGE_FILES = "large_files.yml"
KEYS = {"path", "url", "hash_val", "hash_type"}


def large_files_page(files: Mapping[str, Path], url: str) -> str:
    """Return the content of ``large_files.yml``, which ``python -m monai.bundle download_large_files`` reads.

    Args:
        files: by its path in the bundle, each file that is left out.
        url: folder in which they are hosted, under their own names.

    Raises:
        InputError: when the URL is none that MONAI downloads from.
    """
    if urlsplit(url).scheme not in ("http", "https", "file"):
        raise InputError(f"expected the URL of a folder, such as https://example.org/weights, got {url!r}.")
    entries = [
        {"path": name, "url": f"{url.rstrip('/')}/{path.name}", "hash_val": file_hash(path), "hash_type": "sha256"}
        for name, path in sorted(files.items())
    ]
    return yaml.safe_dump({"large_files": entries}, sort_keys=False)


def read_large_files(root: str | Path) -> dict[str, dict[str, Any]]:
    """Read which files of a bundle are hosted elsewhere, by their path; none where there is no ``large_files.yml``.

    Args:
        root: the bundle's folder.

    Raises:
        InputError: when the file is not as MONAI expects it, or names a path outside the bundle.
    """
    path = Path(root) / LARGE_FILES
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML. Build the bundle again.") from error
    entries = content.get("large_files") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and set(entry) >= KEYS for entry in entries):
        raise InputError(f"{path} is not as MONAI reads it: expected large_files, each with {', '.join(sorted(KEYS))}.")
    for entry in entries:
        target = (Path(root) / entry["path"]).resolve()
        if not target.is_relative_to(Path(root).resolve()):
            raise InputError(f"{path} names {entry['path']}, which lies outside the bundle.")
    return {entry["path"]: entry for entry in entries}
