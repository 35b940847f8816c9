"""Run ``pkdr`` with one fault built in: ``python -m tests.heavy.faulty FAULT WORDS...``.

A fault strikes in the second epoch of a training, or in the second case of a prediction, so that there is work to lose.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedEvaluator, SupervisedTrainer

from pkdr_monai.cli import main
from pkdr_monai.files import atomic_write
from pkdr_monai.handlers import checkpoint as training_checkpoint
from pkdr_monai.inference import cohort, results

TARGET = Path(os.environ.get("PKDR_FAULT_TARGET", ""))  # the file or folder that a fault is about

Strike = Callable[[Any], None]


def kill(subject: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(subject: Any) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def terminate(subject: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def kill_worker(subject: Any) -> None:
    for child in multiprocessing.active_children():
        child.kill()


def spoil(batch: dict[str, Any]) -> None:
    batch["image"][:] = float("nan")


def truncate(subject: Any) -> None:
    TARGET.write_bytes(TARGET.read_bytes()[: TARGET.stat().st_size // 2])


def fill_disk(subject: Any) -> None:
    with (TARGET / "filler").open("wb", buffering=0) as file:
        for size in (2**16, 1):  # to the last byte
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def linger(subject: Any) -> None:
    TARGET.touch()
    time.sleep(600)


def _at(number: int, owner: Any, name: str, strike: Strike, argument: int = 0) -> None:
    """Let ``strike`` go before call ``number`` of a function or method."""
    original, calls = getattr(owner, name), [0]

    def with_fault(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            strike(arguments[argument])
        return original(*arguments, **options)

    setattr(owner, name, with_fault)


def in_training(strike: Strike) -> None:
    _at(4, SupervisedTrainer, "_iteration", strike, argument=2)


def in_validation(strike: Strike) -> None:
    _at(3, SupervisedEvaluator, "_iteration", strike)


def in_prediction(strike: Strike) -> None:
    _at(2, cohort, "scan_probabilities", strike)


def in_writing_results(strike: Strike) -> None:
    """Strike when half of the second case's segmentation is written."""
    write_like, calls = results.write_like, [0]

    def half(path: Path, volume: Any, source: Path, affine: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            with atomic_write(path) as file:
                file.write(b"half a segmentation")
                file.flush()
                strike(path)
        write_like(path, volume, source, affine)

    results.write_like = half


def in_writing(strike: Strike) -> None:
    """Strike when half of the second checkpoint is written."""
    save, calls = torch.save, [0]

    def half(state: dict[str, Any], file: Any) -> None:
        calls[0] += "epoch" in state
        if calls[0] == 2 and "epoch" in state:
            file.write(b"half a checkpoint")
            file.flush()
            strike(state)
        save(state, file)

    training_checkpoint.torch.save = half  # type: ignore[assignment]


if __name__ == "__main__":
    place, what = sys.argv[1].split(":")
    globals()[f"in_{place}"](globals()[what])
    main(sys.argv[2:])
