"""Time callables side by side, take the peak memory of one, and print both beside the goals. See README.md."""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Row", "Timings", "available_memory", "interleave", "peak_memory", "print_rows"]

QUIET = 0.12  # cores that other processes may use while a round counts as undisturbed
SHORTEST = 0.2  # seconds that one measurement lasts at least: a fast call is repeated


@dataclass
class Timings:
    """Seconds of every callable in every round, and how busy other processes were meanwhile."""

    seconds: dict[str, list[float]]
    foreign_cores: list[float] = field(default_factory=list)

    @property
    def kept(self) -> list[int]:
        """The undisturbed rounds; all rounds where fewer than two thirds are."""
        quiet = [index for index, cores in enumerate(self.foreign_cores) if cores < QUIET]
        return quiet if 3 * len(quiet) >= 2 * len(self.foreign_cores) else list(range(len(self.foreign_cores)))

    @property
    def disturbed(self) -> bool:
        """Whether rounds count during which other processes were busy."""
        return any(self.foreign_cores[index] >= QUIET for index in self.kept)

    def median(self, name: str) -> float:
        """Median seconds of one callable."""
        return statistics.median(self.seconds[name][index] for index in self.kept)

    def ratio(self, name: str, base: str) -> float:
        """Median over the rounds of the time of ``name`` over that of ``base`` in the same round."""
        pairs = zip(self.seconds[name], self.seconds[base], strict=True)
        ratios = [one / other for one, other in pairs]
        return statistics.median(ratios[index] for index in self.kept)


def interleave(calls: Mapping[str, Callable[[], object]], rounds: int = 5, warmup: bool = True) -> Timings:
    """Time the callables in turn, round after round, so that whatever else slows the machine slows them all."""
    repeats = dict.fromkeys(calls, 1)
    if warmup:
        for name, call in calls.items():
            call()
            repeats[name] = min(50, math.ceil(SHORTEST / _seconds(call, 1)))
    timings = Timings({name: [] for name in calls})
    for _ in range(rounds):
        wall, own, busy = time.perf_counter(), time.process_time(), _busy_seconds()
        for name, call in calls.items():
            timings.seconds[name].append(_seconds(call, repeats[name]))
        elapsed = time.perf_counter() - wall
        timings.foreign_cores.append((_busy_seconds() - busy - (time.process_time() - own)) / elapsed)
    return timings


def peak_memory(factory: Callable[..., Callable[[], object]], *arguments: str | int, warmup: bool = True) -> float:
    """Return the megabytes that one call needs at its peak beyond what the process held before it.

    A fresh process builds the callable with ``factory(*arguments)``, calls it once (``warmup``), and measures the next
    call. It gives freed memory back to the system at once, so that the second call's peak is the call's own.
    """
    target = f"{factory.__module__}:{factory.__qualname__}"
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    command = [sys.executable, "-m", "benchmarks.measure", target, json.dumps(arguments), json.dumps(warmup)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise RuntimeError(f"measuring the memory of {target}{arguments} failed:\n{finished.stderr}")
    return float(finished.stdout.splitlines()[-1])


def available_memory() -> float:
    """Return the megabytes that the machine can give without swapping."""
    return _kilobytes("/proc/meminfo", "MemAvailable:") / 1024


@dataclass(frozen=True)
class Row:
    """One measured value, and the largest that would do."""

    what: str
    value: float
    goal: float | None = None
    unit: str = ""
    note: str = ""

    @classmethod
    def of_ratio(cls, what: str, timings: Timings, name: str, base: str, goal: float | None = None) -> Row:
        """Compare the times of two callables."""
        note = f"{timings.median(name):.4g} s / {timings.median(base):.4g} s"
        return cls(what, timings.ratio(name, base), goal, "x", note + (" (disturbed)" if timings.disturbed else ""))

    def cells(self) -> tuple[str, ...]:
        """Return the row as the table prints it."""
        goal = "" if self.goal is None else f"<= {self.goal:g} {self.unit}".rstrip()
        verdict = "" if self.goal is None else "met" if self.value <= self.goal else "MISSED"
        return self.what, f"{self.value:.3g} {self.unit}".rstrip(), goal, verdict, self.note


def print_rows(title: str, rows: list[Row]) -> None:
    """Print a table in Markdown."""
    head = ("what", "measured", "goal", "verdict", "from")
    table = [head, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(f"\n### {title}\n", *lines, sep="\n", flush=True)


def _seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _busy_seconds() -> float:
    """Seconds that all cores together have worked for anyone, since the machine started; 0 where /proc is missing."""
    try:
        user, nice, system, _, _, irq, softirq, steal = Path("/proc/stat").read_text().split()[1:9]
    except OSError:
        return 0.0
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / os.sysconf("SC_CLK_TCK")


def _kilobytes(file: str, key: str) -> int:
    lines = Path(file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def _measure_here(target: str, arguments: list[str | int], warmup: bool) -> float:
    module, name = target.split(":")
    call = getattr(importlib.import_module(module), name)(*arguments)
    if warmup:
        call()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size so far
    before = _kilobytes("/proc/self/status", "VmRSS:")
    call()
    return (_kilobytes("/proc/self/status", "VmHWM:") - before) / 1024


if __name__ == "__main__":
    print(_measure_here(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])))
