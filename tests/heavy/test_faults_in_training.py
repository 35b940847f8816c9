"""Whatever befalls a training: one sentence, nothing lost since the last checkpoint, and the next command continues."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ..bundle.conftest import TEACHER, TRAIN, Bundle
from .conftest import run, start, train_words, weights

SENTENCES = {
    "training:interrupt": (130, r"interrupted in epoch 2; the last checkpoint is .*checkpoint\.pt; .*--resume true\."),
    "training:terminate": (130, r"interrupted in epoch 2; .*--resume true\."),
    "validation:interrupt": (130, r"interrupted in epoch 2; .*--resume true\."),
    "writing:interrupt": (130, r"interrupted in epoch 2; .*--resume true\."),
    "training:spoil": (1, r"error: the loss is nan in epoch 2 on the cases Phantom18_\w+, Phantom18_\w+\. .*"),
}


def _goes_on(bundle: Bundle, folder: Path, whole: Path, **overrides: object) -> None:
    """Resume a run; it must end with the very weights of the one that nothing befell, and leave no remains."""
    done = run(*train_words(bundle, folder, resume=True, **overrides))
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("model.pt", "model_last.pt"):
        torch.testing.assert_close(weights(folder, name), weights(whole, name), rtol=0, atol=0)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
    assert not list(folder.rglob(".*.tmp"))


def _said(result: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in result.stderr
    return result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("place", ["training", "validation", "writing"])
def test_a_killed_training_goes_on(bundle: Bundle, whole: Path, tmp_path: Path, place: str) -> None:
    ended = run(*train_words(bundle, tmp_path / "run"), fault=f"{place}:kill")
    assert ended.returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob(".checkpoint.pt.*.tmp"))) == (place == "writing")
    assert torch.load(tmp_path / "run/models/checkpoint.pt", weights_only=True)["epoch"] == 1
    _goes_on(bundle, tmp_path / "run", whole)


@pytest.mark.parametrize("fault", SENTENCES)
def test_a_stopped_training_says_how_to_go_on(bundle: Bundle, whole: Path, tmp_path: Path, fault: str) -> None:
    code, sentence = SENTENCES[fault]
    ended = run(*train_words(bundle, tmp_path / "run"), fault=fault)
    assert re.fullmatch(sentence, _said(ended)), ended.stderr
    assert ended.returncode == code
    status = json.loads((tmp_path / "run/run.json").read_text())["status"]
    assert status == ("interrupted" if code == 130 else "failed")
    _goes_on(bundle, tmp_path / "run", whole)


def test_a_data_worker_that_dies_is_told_of(bundle: Bundle, whole: Path, tmp_path: Path) -> None:
    ended = run(*train_words(bundle, tmp_path / "run", num_workers=1), fault="training:kill_worker")
    assert _said(ended).startswith("error: a data worker was killed")
    assert ended.returncode == 1
    # with workers, other numbers are drawn than without: compare with a run that has one, too
    alike = run(*train_words(bundle, tmp_path / "alike", num_workers=1))
    assert alike.returncode == 0, alike.stderr
    _goes_on(bundle, tmp_path / "run", tmp_path / "alike", num_workers=1)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_case_that_turns_unreadable_is_named(bundle: Bundle, whole: Path, tmp_path: Path, num_workers: int) -> None:
    cohort = Bundle(tmp_path / "cohort", bundle.data_list)
    shutil.copytree(bundle.cohort, cohort.cohort)
    entry = json.loads(bundle.data_list.read_text())["training"][0]
    file = cohort.cohort / entry["image"][2]
    words = train_words(cohort, tmp_path / "run", num_workers=num_workers, cache_rate=0.0)
    ended = run(*words, fault="training:truncate", target=file)
    pattern = rf"error: case {entry['case']}: .*{re.escape(file.name)} cannot be read: it is truncated.*"
    assert re.fullmatch(pattern, _said(ended)), ended.stderr
    assert ended.returncode == 2
    refused = run(*words, "--resume=true")
    assert refused.returncode == 2
    assert f"--exclude {entry['case']}" in refused.stderr
    if not num_workers:
        _goes_on(bundle, tmp_path / "run", whole)


def test_a_full_disk_is_told_of(bundle: Bundle, whole: Path, tmpfs: Callable[..., Path]) -> None:
    disk = tmpfs("size=64m")
    ended = run(*train_words(bundle, disk / "run"), fault="training:fill_disk", target=disk)
    assert re.search(r"cannot use .*: No space left on device\..*--resume true", _said(ended)), ended.stderr
    assert ended.returncode == 2
    (disk / "filler").unlink()
    _goes_on(bundle, disk / "run", whole)


def test_a_folder_that_turns_read_only_is_told_of(bundle: Bundle, whole: Path, tmpfs: Callable[..., Path]) -> None:
    disk = tmpfs("size=64m")
    first = run(*train_words(bundle, disk / "run", max_epochs=3), fault="training:kill")
    assert first.returncode == -signal.SIGKILL
    tmpfs("ro")
    for words in (train_words(bundle, disk / "run", resume=True), train_words(bundle, disk / "other")):
        refused = run(*words)
        assert re.search(r"cannot use .*: Read-only file system\.", _said(refused)), refused.stderr
        assert refused.returncode == 2
    tmpfs("rw")
    _goes_on(bundle, disk / "run", whole)


def test_a_second_training_in_one_folder_is_refused(bundle: Bundle, whole: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with start(*train_words(bundle, tmp_path / "run"), fault="training:linger", target=ready) as first:
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert first.poll() is None, first.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for words in (["--resume=true"], []):
            second = run(*train_words(bundle, tmp_path / "run"), *words)
            assert "another training is writing to" in _said(second)
            assert second.returncode == 2
        first.kill()
    _goes_on(bundle, tmp_path / "run", whole)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\0" + data])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    bundle: Bundle, whole: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    last = tmp_path / "run/models/checkpoint.pt"
    last.write_bytes(damage(last.read_bytes()))
    _goes_on(bundle, tmp_path / "run", whole)
    last.with_name("checkpoint_previous.pt").write_bytes(b"")
    last.write_bytes(b"")
    refused = run(*train_words(bundle, tmp_path / "run", resume=True))
    assert "checkpoint_previous.pt" in _said(refused)
    assert refused.returncode == 2


def test_monais_own_command_speaks_as_plainly(bundle: Bundle, tmp_path: Path) -> None:
    options = bundle.options(output_dir=tmp_path / "run", max_epochs=1000)
    words = ["run", "training", "--config_file", f"['{TRAIN}','{TEACHER}']"]
    with start(*words, *(f"--{name}={value}" for name, value in options.items()), module="monai.bundle") as process:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run/models/checkpoint.pt").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert re.fullmatch(r"interrupted in epoch \d+; the last checkpoint is .*", errors.strip().splitlines()[-1])
    assert process.returncode == 130
