"""The documented commands, in processes of their own: killed, misused, distributed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from .conftest import CONFIGS, ROOT, TEACHER, TRAIN, Bundle

pytestmark = pytest.mark.slow


def command(run_id: str, configs: Sequence[Path], options: dict[str, object]) -> list[str]:
    files = "[" + ",".join(f"'{config}'" for config in configs) + "]"
    words = ["-m", "monai.bundle", "run", run_id, "--config_file", files]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return words


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def run(words: Sequence[str], timeout: float = 300) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_a_training_killed_in_mid_epoch_is_resumed_bit_identically(bundle: Bundle, tmp_path: Path) -> None:
    def words(name: str, resume: bool) -> list[str]:
        options = bundle.options(output_dir=tmp_path / name, max_epochs=4, val_interval=2, resume=resume)
        return command("training", [TRAIN, TEACHER], options)

    whole = run(words("whole", False))
    assert whole.returncode == 0, whole.stdout + whole.stderr

    history = tmp_path / "broken" / "history.csv"
    process = subprocess.Popen(
        [sys.executable, *words("broken", False)], cwd=ROOT, env=_environment(), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (history.exists() and len(history.read_text().splitlines()) >= 2):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "broken/models/model_last.pt").exists()

    resumed = run(words("broken", True))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    for name in ("model.pt", "model_last.pt"):
        first, second = (torch.load(tmp_path / run / "models" / name, weights_only=True) for run in ("whole", "broken"))
        torch.testing.assert_close(second, first, rtol=0, atol=0)


def test_a_missing_teacher_is_one_sentence_and_exit_code_2(bundle: Bundle, tmp_path: Path) -> None:
    options = bundle.options(output_dir=tmp_path, teacher_checkpoint=tmp_path / "nowhere.pt")
    result = run(command("training", [TRAIN], options))
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: there is no checkpoint at ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("storage", [None, "memory", "disk"])
def test_two_processes_train_one_model(bundle: Bundle, tmp_path: Path, storage: str | None) -> None:
    options = bundle.options(output_dir=tmp_path / "run", batch_size=1)
    configs = [TRAIN, TEACHER, CONFIGS / "multi_gpu_train.json"]
    if storage:
        configs.insert(2, CONFIGS / "cached_train.json")
        options |= {"cache_storage": storage, "cache_dir": tmp_path / "cache"}
    words = command("training", configs, options)
    result = run(["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *words])
    assert result.returncode == 0, result.stdout + result.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["status"], record["environment"]["processes"]) == ("finished", 2)
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 3
    weights = torch.load(tmp_path / "run" / "models" / "model.pt", weights_only=True)
    assert not any(name.startswith("module.") for name in weights)
