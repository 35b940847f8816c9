"""The most memory that a process has held."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

__all__ = ["peak_memory"]

STATUS = Path("/proc/self/status")


def peak_memory(device: torch.device | str = "cpu") -> float | None:
    """Return the peak memory so far in MiB: the card's for this process on CUDA, the process's own elsewhere.

    Args:
        device: where the process computes.

    Returns:
        The peak, or ``None`` on a system that does not tell it, such as Windows.

    Example:
        >>> peak_memory() > 10
        True
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if STATUS.is_file():  # Linux, where getrusage would begin with the peak of the parent
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
