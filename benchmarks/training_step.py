"""Where the time of a PKDR step goes, how it grows, and what determinism costs; on a GPU, the rate it reaches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.distillation_step import distiller
from benchmarks.measure import Row, interleave, print_rows
from pkdr_monai.losses import PKDRLoss
from pkdr_monai.networks import Distiller
from pkdr_monai.system import keep_freed_memory

__all__ = ["run"]

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
CROP = (96, 128, 128) if CUDA else (64, 64, 64)
BATCH = 4 if CUDA else 2
PARTS = ("teacher", "student", "heads and losses", "backward", "optimiser")
MATRIX_RATE = {"H200": 989e12, "H100": 989e12, "A100": 312e12}  # dense bfloat16, operations a second, by the makers


@dataclass
class Step:
    """One training step, as the trainer makes it: forward, loss, backward, Adam.

    Args:
        crop: voxels along each axis.
        batch: crops a step.
        low: both networks in bfloat16 and channels last.
        fused: Adam in one kernel.
        compiled: the student through ``torch.compile``.
    """

    crop: tuple[int, int, int] = CROP
    batch: int = BATCH
    low: bool = False
    fused: bool = True
    compiled: bool = False
    seconds: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part in PARTS})

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.image = torch.randn(self.batch, 4, *self.crop, generator=generator).to(DEVICE)
        self.label = torch.zeros(self.batch, 3, *self.crop, device=DEVICE)
        self.label[:, :, 10:20, 10:20, 10:20] = 1
        self.network: Distiller = distiller("bfloat16" if self.low else None).to(DEVICE).train()
        if self.low:
            self.network.student.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if self.compiled:
            self.network.student.features = torch.compile(self.network.student.features)
        self.loss = PKDRLoss()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, weight_decay=1e-5, fused=self.fused)

    def __call__(self) -> None:
        """Make one step, and wait until it is done."""
        self.optimizer.zero_grad()
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.low):
            value = self.loss(self.network(self.image), self.label)
        value.backward()
        self.optimizer.step()
        _wait()

    def timed(self) -> None:
        """Make one step, and note the seconds of its parts."""
        self.optimizer.zero_grad()
        begun = _now()
        with _watched(self.network.teacher) as teacher, _watched(self.network.student) as student:
            value = self.loss(self.network(self.image), self.label)
        forward = _now() - begun
        parts = {"teacher": teacher[0], "student": student[0], "heads and losses": forward - teacher[0] - student[0]}
        for name, call in (("backward", value.backward), ("optimiser", self.optimizer.step)):
            begun = _now()
            call()
            parts[name] = _now() - begun
        for name, seconds in parts.items():
            self.seconds[name].append(seconds)


def run(rounds: int) -> None:
    """Measure and print."""
    keep_freed_memory()
    rounds = min(rounds, 3)
    where = torch.cuda.get_device_name() if CUDA else "the CPU"
    shape = f"{BATCH} x {' x '.join(map(str, CROP))}"
    print_rows(f"A PKDR step of {shape} in float32 on {where}: where its time goes", _parts(rounds))
    print_rows("The same: how it grows, and what determinism costs", [*_growth(rounds), _determinism(rounds)])
    if CUDA:
        print_rows(f"The same on {where}: what makes it fast", _rates(rounds))
    else:
        print("\nThe GPU's rows, bfloat16, compiled, share of the matrix rate: not measured, there is no GPU here.")


def _parts(rounds: int) -> list[Row]:
    step = Step()
    step()
    for _ in range(rounds):
        step.timed()
    medians = {part: statistics.median(seconds) for part, seconds in step.seconds.items()}
    whole = sum(medians.values())
    return [
        Row(part, seconds / whole, None, "x", f"{seconds:.4g} s / {whole:.4g} s") for part, seconds in medians.items()
    ]


def _growth(rounds: int) -> list[Row]:
    """Return the time for a voxel, beside that of the step as it is."""
    half: tuple[int, int, int] = tuple(side // 2 for side in CROP)  # type: ignore[assignment]
    steps = {
        "as it is": Step(),
        "half the side": Step(half),
        "half the batch": Step(batch=BATCH // 2),
        "twice the batch": Step(batch=2 * BATCH),
    }
    timings = interleave(steps, rounds)
    rows = []
    for name, voxels in (("half the side", 1 / 8), ("half the batch", 1 / 2), ("twice the batch", 2.0)):
        note = f"{timings.median(name):.4g} s / {timings.median('as it is'):.4g} s"
        note += " (disturbed)" if timings.disturbed else ""
        rows.append(Row(f"{name}: time for a voxel", timings.ratio(name, "as it is") / voxels, None, "x", note))
    return rows


def _determinism(rounds: int) -> Row:
    step = Step()

    def deterministic() -> None:
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            step()
        finally:
            torch.use_deterministic_algorithms(False)

    timings = interleave({"deterministic": deterministic, "as it is": step}, rounds)
    return Row.of_ratio("deterministic algorithms: time", timings, "deterministic", "as it is")


def _rates(rounds: int) -> list[Row]:
    """Return what bfloat16, a fused Adam and the compiler give on a GPU, and which share of its rate is used."""
    steps: dict[str, Callable[[], object]] = {
        "float32": Step(fused=False),
        "bfloat16": Step(low=True),
        "compiled": Step(low=True, compiled=True),
    }
    with FlopCounterMode(display=False) as counter:
        steps["bfloat16"]()
    timings = interleave(steps, rounds)
    rows = [
        Row.of_ratio("bfloat16, channels last, fused Adam: time / float32", timings, "bfloat16", "float32", 0.55),
        Row.of_ratio("the student compiled: time / bfloat16", timings, "compiled", "bfloat16", 0.95),
    ]
    rate = next((rate for name, rate in MATRIX_RATE.items() if name in torch.cuda.get_device_name()), None)
    reached = counter.get_total_flops() / timings.median("bfloat16")
    if rate is not None:
        rows.append(Row("matrix rate left unused (at least 15 % is to be used)", 1 - reached / rate, 0.85))
    rows.append(Row("operations a second", reached / 1e12, None, "T"))
    return rows


@contextmanager
def _watched(network: nn.Module | None) -> Iterator[list[float]]:
    """Note the seconds of a network's ``features``."""
    seconds = [0.0]
    if network is None:
        yield seconds
        return
    features = network.features

    def timed(image: torch.Tensor) -> object:
        begun = _now()
        result = features(image)  # type: ignore[operator]
        seconds[0] += _now() - begun
        return result

    network.features = timed  # type: ignore[assignment]
    try:
        yield seconds
    finally:
        del network.features


def _now() -> float:
    _wait()
    return time.perf_counter()


def _wait() -> None:
    if CUDA:
        torch.cuda.synchronize()
