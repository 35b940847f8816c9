"""What files hold, told by a hash that is remembered for as long as they are not touched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_json, write_json

__all__ = ["FileHashes"]

SETTLED = 2.0  # seconds; a file touched more recently may be touched again within one tick of the disk's clock


class FileHashes:
    """Hash files by their content, and remember it by path, size and both times of change.

    Args:
        path: file to remember in. One that is absent or damaged costs reading the files again, nothing else.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "scan").write_bytes(b"")
        >>> FileHashes(folder / "hashes.json").of(folder / "scan")[:12]
        'e3b0c44298fc'
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = _read(path)
        self._new: dict[str, dict[str, Any]] = {}

    def of(self, file: Path) -> str:
        """Return the SHA-256 of a file.

        Raises:
            InputError: when it cannot be read.
        """
        try:
            status = file.stat()
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror or error}. Check the path.") from error
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        known = self._known.get(str(file), {})
        if known.get("stamp") == stamp:
            return known["sha256"]
        digest = file_hash(file)
        if time.time() - max(status.st_mtime, status.st_ctime) > SETTLED:
            self._new[str(file)] = {"stamp": stamp, "sha256": digest}
        return digest

    def save(self) -> None:
        """Write what was learnt, beside what another process may have written meanwhile."""
        if self._new:
            write_json(self.path, {**_read(self.path), **self._new})


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except InputError:
        return {}
    return content if isinstance(content, dict) else {}
