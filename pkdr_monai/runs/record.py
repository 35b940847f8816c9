"""Versions and hardware that ``run.json`` records of a run, and durations in words."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pkdr_monai

if TYPE_CHECKING:
    import torch

__all__ = ["duration", "environment"]

PACKAGES = ("torch", "monai", "pytorch-ignite", "nibabel", "numpy")


def environment(device: torch.device) -> dict[str, Any]:
    """Return versions and hardware that a figure should be read with."""
    import ignite.distributed as idist
    import torch

    versions = {name: metadata.version(name) for name in PACKAGES}
    cuda = device.type == "cuda"
    return {
        "pkdr_monai": pkdr_monai.__version__,
        "python": platform.python_version(),
        **versions,
        "device": torch.cuda.get_device_name(device) if cuda else f"{platform.processor() or platform.machine()} CPU",
        "threads": torch.get_num_threads(),
        "processes": idist.get_world_size(),
    }


def duration(seconds: float) -> str:
    """Write a duration as people say it.

    Example:
        >>> duration(7), duration(75), duration(7380)
        ('7 s', '1 min 15 s', '2 h 03 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
