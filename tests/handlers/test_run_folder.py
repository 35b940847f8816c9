"""One training a folder, and no remains in it."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
from ignite.engine import Engine

from pkdr_monai.errors import InputError
from pkdr_monai.handlers import RunFolder

HOLD = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"


def _train(folder: Path, step=lambda engine, batch: None) -> None:
    engine = Engine(step)
    RunFolder(folder, folder / "models").attach(engine)
    engine.run([0])


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock of ``tmp_path``."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_second_training_is_refused_with_a_sentence(holder: subprocess.Popen, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"another training is writing to .*--output_dir"):
        _train(tmp_path)


def test_a_killed_process_leaves_no_lock(holder: subprocess.Popen, tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    _train(tmp_path)


def test_the_folder_is_free_after_the_end_and_after_an_error(tmp_path: Path) -> None:
    def fail(engine: Engine, batch: int) -> None:
        raise RuntimeError("the first error")

    with pytest.raises(RuntimeError, match="the first error"):
        _train(tmp_path, fail)
    _train(tmp_path)
    _train(tmp_path)


def test_what_a_killed_training_had_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    remains = [tmp_path / ".run.json.abcd1234.tmp", tmp_path / "models" / ".checkpoint.pt.x_y_z_12.tmp"]
    for path in (*remains, tmp_path / "models" / "model.pt"):
        path.touch()
    _train(tmp_path)
    assert [path.exists() for path in remains] == [False, False]
    assert (tmp_path / "models" / "model.pt").exists()


def test_a_disk_without_locks_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    _train(tmp_path)
    assert "knows no locks (No locks available)" in caplog.text
