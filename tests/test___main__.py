from __future__ import annotations

import subprocess
import sys


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "pkdr_monai", "data", "check", "nowhere"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.startswith("error: nowhere is not a folder")
