"""The example of a method in CONTRIBUTING, one file and one overlay, works from a folder of its own."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def _block(language: str, opening: str) -> str:
    """Return the one code block of CONTRIBUTING that holds these words, with the method as a module of its own."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (code,) = (block for block in blocks if opening in block)
    return code.replace("pkdr_monai.baselines.hint", "hint")


@pytest.fixture
def method(tmp_path: Path) -> Path:
    """A folder with the two files, and the tests of the first."""
    (tmp_path / "hint.py").write_text(_block("python", "class HintLoss"))
    (tmp_path / "hint.yaml").write_text(_block("yaml", "hint_head"))
    (tmp_path / "test_hint.py").write_text(_block("python", "def test_a_missing_hint"))
    return tmp_path


def _run(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_one_file_and_one_overlay_are_enough_for_a_trained_and_scored_method(method: Path) -> None:
    folders = ("--results", method / "results", "--work", method / "work")
    words = ("experiment", method / "hint.yaml", "--smoke", "--modalities", "t2", *folders)
    finished = _run("pkdr_monai", *words, folder=method)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    (history,) = (method / "work").rglob(f"{method.name}_hint_t2_seed0_*/history.csv")
    with history.open(newline="") as file:
        assert all(float(row["hint"]) > 0 for row in csv.DictReader(file))
    assert re.search(r"^\| hint +\|.*\d\.\d{3}", finished.stdout, re.MULTILINE), finished.stdout


@pytest.mark.slow
def test_its_own_tests_and_its_examples_pass(method: Path) -> None:
    files = (method / "hint.py", method / "test_hint.py")
    finished = _run("pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules", *files, folder=method)
    assert finished.returncode == 0, finished.stdout
    assert "5 passed" in finished.stdout  # two examples in docstrings among them
