"""What a method costs: the time and memory of its training step beside the unimodal one's, measured in turn."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from pkdr_monai.errors import RunError
from pkdr_monai.files import read_object, write_json
from pkdr_monai.runs.record import environment
from pkdr_monai.studies.cells import Cell, Repository
from pkdr_monai.studies.study import Study
from pkdr_monai.system import peak_memory

__all__ = ["complete_cost", "measure_cost", "seconds_per_step", "training_step"]

REFERENCE = "table1/unimodal"


def measure_cost(cells: Sequence[Cell], budget: Mapping[str, Any], rounds: int = 7) -> dict[str, Any]:
    """Measure the training step of cells as ratios to the unimodal one.

    Steps run in turn, round after round, so that whatever else slows the machine slows them all; a ratio is the median
    over the rounds. Peak memory is that of a process that does nothing but three steps, less that of one that has only
    loaded the libraries; on CUDA it is the allocator's. Data loading is not in either.

    Args:
        cells: methods to measure; the unimodal one has to be among them.
        budget: overlay with crop, batch and precision.
        rounds: steps that each takes.

    Returns:
        ``{"environment": {...}, "rounds": n, "cells": {name: {"step": ratio, "memory": ratio}}}``.
    """
    steps = {cell.name: training_step(cell, budget) for cell in cells}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(_timed(step))
    memory = {cell.name: _peak_memory(cell, budget) for cell in cells}
    ratios = {name: [a / b for a, b in zip(times, seconds[REFERENCE], strict=True)] for name, times in seconds.items()}
    return {
        "environment": environment(_device()),
        "rounds": rounds,
        "cells": {
            name: {
                "step": round(statistics.median(ratios[name]), 3),
                "memory": round(memory[name] / memory[REFERENCE], 3),
            }
            for name in steps
        },
    }


def complete_cost(repository: Repository, study: Study, cells: Sequence[Cell]) -> None:
    """Measure the cells that ``cost.json`` of the study lacks, beside the unimodal one, and add them to it."""
    path = study.results / "cost.json"
    known = read_object(path) if path.is_file() else {"cells": {}}
    missing = [cell for cell in cells if cell.name not in known["cells"] and cell.name != REFERENCE]
    if missing:
        measured = measure_cost([repository.cells[REFERENCE], *missing], study.budget)
        write_json(path, {**measured, "cells": {**known["cells"], **measured["cells"]}})


def seconds_per_step(cell: Cell, budget: Mapping[str, Any]) -> float:
    """Measure one training step of a cell, for an estimate."""
    step = training_step(cell, budget)
    step()
    return _timed(step)


def training_step(cell: Cell, budget: Mapping[str, Any]) -> Callable[[], None]:
    """Build a method as its configs describe it, with a teacher of random weights, and return its training step.

    Args:
        cell: the method; it sees T2 where it does not fix its modality.
        budget: overlay with crop, batch and precision.
    """
    parser = cell.with_budget(budget)
    parser.read_meta({})
    for key, value in {"teacher": "@teacher_def", "device": _device()}.items():
        parser[key] = value
    parser.parse()
    content = parser.get_parsed_content
    size = (content("batch_size"), len(content("train_modalities")), *content("roi_size"))
    image = torch.randn(size, device=_device())
    label = (torch.rand(size[0], 3, *size[2:], device=_device()) > 0.9).float()
    distiller, loss, optimizer = content("distiller").to(_device()), content("loss"), content("optimizer")
    amp = content("amp")

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(_device().type, torch.bfloat16, enabled=amp):
            value = loss(distiller(image), label)
        value.backward()
        optimizer.step()
        if image.is_cuda:
            torch.cuda.synchronize()

    return step


def _device() -> torch.device:
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def _timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _peak_memory(cell: Cell, budget: Mapping[str, Any]) -> float:
    """Return the MiB that three steps of a method need in a fresh process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monai.bundle", "pkdr_monai.studies.cost"])
    with context.Pool(1) as pool:
        return float(pool.apply(_steps_in_process, (cell, budget)))


def _steps_in_process(cell: Cell, budget: Mapping[str, Any]) -> float:
    before = _peak()
    step = training_step(cell, budget)
    for _ in range(3):
        step()
    return _peak() - before


def _peak() -> float:
    peak = peak_memory("cuda" if torch.cuda.is_available() else "cpu")
    if peak is None:
        raise RunError("this system does not report the memory of a process, which is a part of the cost: take Linux.")
    return peak
