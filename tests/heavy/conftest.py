"""Commands in processes of their own, with a fault or without; and inputs by the thousand, counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings

from pkdr_monai.errors import InputError

from ..bundle.conftest import ROOT, Bundle
from ..bundle.conftest import bundle as bundle  # a fixture

HERE = Path(__file__).parent
collect_ignore = ["fuzz_headers.py"]  # a program, which needs atheris


class Inputs:
    """Counts what became of inputs: each has to end in a result or in one sentence."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def count(self, target: str, refused: bool) -> None:
        self.counts.setdefault(target, Counter())["refused" if refused else "accepted"] += 1

    def try_out(self, target: str, read: Callable[[], object]) -> None:
        sentence = None
        try:
            read()
        except InputError as error:
            sentence = str(error)
        assert sentence is None or (10 < len(sentence) < 5000 and "Traceback" not in sentence)
        self.count(target, refused=sentence is not None)


COUNTED = Inputs()


@pytest.fixture(scope="session")
def inputs() -> Inputs:
    return COUNTED


def bounded(examples: int) -> settings:
    """Return the settings of a search that is the same each time, and takes a hanging input for a failure."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=20),
        suppress_health_check=list(HealthCheck),
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of a worker process to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["inputs"] = {target: dict(counts) for target, counts in COUNTED.counts.items()}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a worker process."""
    for target, counts in getattr(node, "workeroutput", {}).get("inputs", {}).items():
        COUNTED.counts.setdefault(target, Counter()).update(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many inputs there were, and what became of them."""
    for target, counts in COUNTED.counts.items():
        parts = ", ".join(f"{what}: {count}" for what, count in sorted(counts.items()))
        terminalreporter.write_line(f"inputs to {target}: {sum(counts.values())} ({parts})")
    total = sum(sum(counts.values()) for counts in COUNTED.counts.values())
    if total:
        terminalreporter.write_line(f"inputs in all: {total}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that lies here."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.heavy)


def start(*words: object, fault: str | None = None, target: Path | None = None, module: str = "") -> subprocess.Popen:
    """Start ``pkdr`` with these words, with a fault of :mod:`tests.heavy.faulty` or without."""
    program = [module or "pkdr_monai"] if fault is None else ["tests.heavy.faulty", fault]
    environment = {**os.environ, "PKDR_FAULT_TARGET": str(target or ""), "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", *program, *map(str, words)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell may ignore it
    )


def run(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``pkdr`` with these words to its end."""
    with start(*words, **options) as process:
        output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def train_words(bundle: Bundle, output_dir: Path, **overrides: Any) -> list[str]:
    """Return the words that train a tiny teacher for three epochs of two steps, validated on two cases each."""
    options = bundle.options(output_dir=output_dir, **{"max_epochs": 3, **overrides})
    return ["train", "teacher", *(f"--{name}={value}" for name, value in options.items())]


def weights(output_dir: Path, name: str = "model_last.pt") -> dict[str, torch.Tensor]:
    """Return the network that a run left."""
    return torch.load(output_dir / "models" / name, weights_only=True)


@pytest.fixture(scope="session")
def whole(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing befell."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    done = run(*train_words(bundle, folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that mounts a small disk of its own, and mounts it again with other options."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir(exist_ok=True)
        prefix = "remount," if mounted else ""
        words = ["mount", "-t", "tmpfs", "-o", prefix + options, "tmpfs", str(folder)]
        if subprocess.run(words, check=False, capture_output=True).returncode:
            pytest.skip("only root can mount a small disk")  # as CI does; nothing else here fills up or turns read-only
        mounted.append(folder)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", str(mounted[0])], check=True)
