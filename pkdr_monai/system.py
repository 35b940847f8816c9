"""The machine below: the precision it computes in, memory that the process keeps, and the most that it has held."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import torch

__all__ = ["computes_in_bfloat16", "keep_freed_memory", "peak_memory"]

PROBES = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of torch.cpu; older versions lack some

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # the names of the settings in <malloc.h>
NEVER = -1


def computes_in_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Return whether a device has instructions for bfloat16; elsewhere it is emulated, and slower than float32.

    Args:
        device: a card on CUDA, or the processor (AVX512-BF16 or AMX).

    Example:
        >>> isinstance(computes_in_bfloat16(), bool)
        True
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(getattr(torch.cpu, probe)() for probe in PROBES if hasattr(torch.cpu, probe))


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory for the next tensor instead of returning it to the system.

    glibc maps every block over 32 MiB and unmaps it when it is freed; the kernel then zeroes each page again at
    its first touch. In a CPU training step, whose large activations come and go, that took 30 % of the time (measured
    with this package's network, 2x4x64x64x64, one thread), and a quarter of the time to segment a scan. Between peaks
    the process holds on to its memory.

    Returns:
        Whether the setting was made: on Linux with glibc; elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(M_MMAP_MAX, 0)) and bool(library.mallopt(M_TRIM_THRESHOLD, NEVER))


STATUS = Path("/proc/self/status")


def peak_memory(device: torch.device | str = "cpu") -> float | None:
    """Return the peak memory so far in MiB: the card's for this process on CUDA, the process's own elsewhere.

    Args:
        device: where the process computes.

    Returns:
        The peak, or ``None`` on a system that does not report it, such as Windows.

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
