"""Count what `pkdr predict` does for one scan: files of this package that run, and how often a scan is decompressed.

python tools/count_predict.py scan_flair.nii.gz
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1] / "pkdr_monai"


def main(scan: str) -> None:
    """Segment a scan, and print the counts."""
    files: set[str] = set()
    reads: list[Path] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(str(PACKAGE)):
            files.add(code.co_filename)

    from pkdr_monai.cli import main as pkdr
    from pkdr_monai.data import headers

    headers._read_voxels = _counted(headers._read_voxels, reads)
    with tempfile.TemporaryDirectory() as folder:
        threading.setprofile(note)
        sys.setprofile(note)
        try:
            pkdr(["predict", scan, "-o", folder, "--quiet"])
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py"))
    sys.stdout.write(f"modules: {len(modules)}, lines: {lines}\n")
    sys.stdout.write(f"files that run: {len(files)}\nreads of a scan: {len(reads)}\n")


def _counted(read: Callable[[Path], Any], reads: list[Path]) -> Callable[[Path], Any]:
    def counted(path: Path) -> Any:
        reads.append(path)
        return read(path)

    return counted


if __name__ == "__main__":
    main(sys.argv[1])
