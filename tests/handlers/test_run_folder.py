"""One training a folder, and no remains in it."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest
from ignite.engine import Engine

from pkdr_monai.errors import InputError
from pkdr_monai.handlers import RunFolder


def _train(folder: Path, step=lambda engine, batch: None) -> None:
    engine = Engine(step)
    RunFolder(folder, folder / "models").attach(engine)
    engine.run([0])


def test_a_second_training_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def taken(*arguments: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(fcntl, "lockf", taken)
    with pytest.raises(InputError, match=r"another training is writing to .*--output_dir"):
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
