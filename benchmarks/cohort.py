"""Two thousand small cases through ``pkdr predict`` in two processes, of which one is killed on the way.

``python -m benchmarks.cohort`` prints what was done before and after, and whether memory grew with the cases. It is no
part of ``python -m benchmarks``: it takes about five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pkdr_monai.networks import PatchVNet, describe_network
from pkdr_monai.phantom import write_cohort
from pkdr_monai.runs.model_card import ModelCard

ROOT = Path(__file__).resolve().parent.parent
SHAPE, SPACING, ROI = (40, 40, 32), (6.0, 6.0, 6.0), (32, 32, 32)
LAUNCHER = ["-m", "torch.distributed.run", "--standalone"]
POLL = 1.0  # seconds


@dataclass
class Watched:
    """A run of ``pkdr predict`` in several processes, and the memory of each as the cases go by."""

    process: subprocess.Popen[str]
    output: Path
    workers: int
    memory: dict[int, list[tuple[int, float]]] = field(default_factory=dict)  # by process: cases done, megabytes

    def watch(self, kill_at: int | None = None) -> int:
        """Wait until it ends, kill one of its processes at some number of cases, and return its exit code."""
        while self.process.poll() is None:
            done = _done(self.output)
            for worker in self._pids():
                if (memory := _resident(worker)) is not None:
                    self.memory.setdefault(worker, []).append((done, memory))
            if kill_at is not None and done >= kill_at:
                os.kill(self._pids()[-1], signal.SIGKILL)
                kill_at = None
            time.sleep(POLL)
        return self.process.returncode

    def growth(self) -> float:
        """Return by how many megabytes the largest process grew, from the second fifth of its time to the last one."""
        grown = []
        for samples in self.memory.values():
            fifth = len(samples) // 5
            if fifth:
                early, late = (
                    [memory for _, memory in part] for part in (samples[fifth : 2 * fifth], samples[-fifth:])
                )
                grown.append(max(late) - max(early))
        return max(grown, default=float("nan"))

    def _pids(self) -> list[int]:
        """Return the processes that segment: children of the launcher, or the one process itself."""
        own = self.process.pid
        return [own] if self.workers == 1 else sorted(pid for pid, parent in _parents() if parent == own)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cohort", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    cases, workers = arguments.cases, arguments.workers
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_cases(folder / "scans", cases)
        _write_model(folder / "runs" / "student")
        begun = time.perf_counter()
        first = _start(folder, workers)
        code = first.watch(kill_at=cases // 2)
        before, first_seconds = _done(folder / "out"), time.perf_counter() - begun
        begun = time.perf_counter()
        second = _start(folder, workers)
        second_code = second.watch()
        seconds = time.perf_counter() - begun
        summary = json.loads((folder / "out" / "run.json").read_text())["summary"]
    print(f"{cases} cases of {' x '.join(map(str, SHAPE))} voxels, {workers} processes")
    print(
        f"first call: one process killed at {cases // 2} cases; {before} done, exit code {code}, {first_seconds:.0f} s"
    )
    print(f"second call: {summary}, exit code {second_code}, {seconds:.0f} s")
    for name, run in (("first", first), ("second", second)):
        peak = max((memory for samples in run.memory.values() for _, memory in samples), default=float("nan"))
        grown = f"{run.growth():+.0f} MB from the second fifth of its time to the last"
        print(f"memory, {name} call: {peak:.0f} MB a process at most, {grown}")


def _start(folder: Path, workers: int) -> Watched:
    words = ["predict", str(folder / "scans"), "-o", str(folder / "out"), "--models", str(folder / "runs"), "--quiet"]
    launcher = [] if workers == 1 else [*LAUNCHER, f"--nproc_per_node={workers}"]
    with (folder / "log.txt").open("a") as log:
        command = [sys.executable, *launcher, "-m", "pkdr_monai", *words]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, text=True)
    return Watched(process, folder / "out", workers)


def _write_cases(folder: Path, cases: int) -> None:
    """Write one synthetic T2 under many names."""
    write_cohort(folder.parent / "cohort", cases=1, shape=SHAPE, spacing=SPACING)
    content = next((folder.parent / "cohort").glob("*/*/*_t2.nii.gz")).read_bytes()
    folder.mkdir()
    for number in range(cases):
        (folder / f"case{number:05d}_t2.nii.gz").write_bytes(content)


def _write_model(run: Path) -> None:
    torch.manual_seed(0)
    network = PatchVNet(1, init_filters=2)
    weights = run / "models" / "model.pt"
    weights.parent.mkdir(parents=True)
    torch.save(network.state_dict(), weights)
    ModelCard(run.name, ("t2",), describe_network(network), SPACING, ROI).with_weights(weights).write()


def _done(output: Path) -> int:
    return sum((entry / "record.json").is_file() for entry in output.iterdir()) if output.is_dir() else 0


def _parents() -> list[tuple[int, int]]:
    """Return every process with its parent."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found.append((int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])))
            except OSError:
                continue  # it has just ended
    return found


def _resident(pid: int) -> float | None:
    """Return the megabytes that a process holds."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), None)


if __name__ == "__main__":
    main()
