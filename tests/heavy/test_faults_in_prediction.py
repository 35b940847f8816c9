"""Whatever befalls a prediction: the other cases are done, and the next command does what is left."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..bundle.conftest import Bundle
from .conftest import run


@pytest.fixture
def scans(bundle: Bundle, tmp_path: Path) -> Path:
    """Three cases, whose files a test may spoil."""
    entries = json.loads(bundle.data_list.read_text())["training"][:3]
    for case in sorted({Path(entry["image"][2]).parent for entry in entries}):
        shutil.copytree(bundle.cohort / case, tmp_path / "scans" / case.name)
    return tmp_path / "scans"


def _words(scans: Path, whole: Path, output: Path) -> list[object]:
    return ["predict", scans, "--output", output, "--model", whole / "models" / "model.pt", "--force"]


def _statuses(output: Path) -> list[str]:
    return [case["status"] for case in json.loads((output / "run.json").read_text())["cases"]]


def _does_the_rest(scans: Path, whole: Path, output: Path, *expected: str) -> None:
    done = run(*_words(scans, whole, output))
    assert done.returncode == 0, done.stdout + done.stderr
    assert _statuses(output) == list(expected)
    assert len(list(output.rglob("*_seg.nii.gz"))) == 3
    assert not list(output.rglob(".*.tmp"))


def _said(result: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


def test_a_case_that_turns_unreadable_does_not_stop_the_others(scans: Path, whole: Path, tmp_path: Path) -> None:
    second = sorted(scans.iterdir())[1]
    file = next(second.glob("*_t2.nii.gz"))
    sound = file.read_bytes()
    ended = run(*_words(scans, whole, tmp_path / "out"), fault="prediction:truncate", target=file)
    assert second.name in _said(ended)
    assert "cannot be read: it is truncated" in _said(ended)
    assert ended.returncode == 1
    assert _statuses(tmp_path / "out") == ["done", "failed", "done"]
    file.write_bytes(sound)
    _does_the_rest(scans, whole, tmp_path / "out", "skipped", "done", "skipped")


@pytest.mark.parametrize("place", ["prediction", "writing_results"])
def test_a_killed_prediction_goes_on(scans: Path, whole: Path, tmp_path: Path, place: str) -> None:
    ended = run(*_words(scans, whole, tmp_path / "out"), fault=f"{place}:kill")
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob(".*.tmp"))) == (place == "writing_results")
    _does_the_rest(scans, whole, tmp_path / "out", "skipped", "done", "done")


def test_an_interrupted_prediction_goes_on(scans: Path, whole: Path, tmp_path: Path) -> None:
    ended = run(*_words(scans, whole, tmp_path / "out"), fault="prediction:interrupt")
    assert (_said(ended), ended.returncode) == ("interrupted", 130)
    _does_the_rest(scans, whole, tmp_path / "out", "skipped", "done", "done")


def test_a_full_disk_is_told_of(scans: Path, whole: Path, tmpfs: Callable[..., Path]) -> None:
    disk = tmpfs("size=8m")
    ended = run(*_words(scans, whole, disk / "out"), fault="prediction:fill_disk", target=disk)
    assert "No space left on device" in _said(ended)
    assert ended.returncode == 2
    (disk / "filler").unlink()
    _does_the_rest(scans, whole, disk / "out", "skipped", "done", "done")


def test_a_read_only_folder_is_told_of(scans: Path, whole: Path, tmpfs: Callable[..., Path]) -> None:
    tmpfs("size=8m")
    disk = tmpfs("ro")
    ended = run(*_words(scans, whole, disk / "out"))
    assert "Read-only file system" in _said(ended)
    assert ended.returncode == 2
    tmpfs("rw")
    _does_the_rest(scans, whole, disk / "out", "done", "done", "done")


def test_damaged_weights_are_named(scans: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "models", tmp_path / "run" / "models")
    weights = tmp_path / "run" / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes()[:-100])
    ended = run(*_words(scans, tmp_path / "run", tmp_path / "out"))
    assert "model.pt is damaged or incomplete" in _said(ended)
    assert _statuses(tmp_path / "out") == ["failed"] * 3
