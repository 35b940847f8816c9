"""Commands of the product, one after the other, each printed before it runs and skipped where its result is there."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkdr_monai.handlers.progress import duration

__all__ = ["ROOT", "Step", "bundle", "run_steps"]

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Step:
    """A command, what it is for, and the file whose presence says that it is done (``None``: it is always run)."""

    title: str
    command: Sequence[str]
    result: Path | None = None


def run_steps(steps: Sequence[Step], repeat: str) -> int:
    """Run commands in the project's root; return the exit code of the first that fails, or 0.

    Args:
        steps: the commands.
        repeat: the command that runs them again, for the message after a failure.
    """
    started = time.perf_counter()
    for number, step in enumerate(steps, start=1):
        elapsed = duration(time.perf_counter() - started)
        print(f"\n[{number}/{len(steps)}, {elapsed} so far] {step.title}", flush=True)
        print(f"$ {_shown(step.command)}", flush=True)
        if step.result is not None and (ROOT / step.result).exists():
            print(f"already done: {step.result}", flush=True)
            continue
        code = subprocess.run(_executable(step.command), cwd=ROOT, check=False).returncode
        if code:
            print(f"the step ended with exit code {code}; `{repeat}` tries it again", file=sys.stderr)
            return code
    print(f"\nDone in {duration(time.perf_counter() - started)}.")
    return 0


def bundle(run: str, configs: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return the command of the MONAI bundle for a run id, config files and options."""
    files = "[" + ",".join(f"'{config}'" for config in configs) + "]"
    return ["python", "-m", "monai.bundle", "run", run, "--config_file", files, *options]


def _shown(command: Sequence[str]) -> str:
    return " ".join(word if word.replace("_", "").isalnum() else shlex.quote(word) for word in command)


def _executable(command: Sequence[str]) -> list[str]:
    """Take ``python`` and ``pkdr`` from the environment that runs this file."""
    program = sys.executable if command[0] == "python" else str(Path(sys.executable).parent / command[0])
    return [program, *command[1:]]
