"""``large_files.yml``: where the weights lie that a bundle's zip does not hold itself, as MONAI reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash

__all__ = ["LARGE_FILES", "large_files_page", "read_large_files"]

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
