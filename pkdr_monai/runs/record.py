"""What ``run.json`` says of a run: on what it ran, what its network sees, and how long it took."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pkdr_monai
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import parse_modalities

if TYPE_CHECKING:
    import torch

__all__ = ["duration", "environment", "recorded_input"]

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


def recorded_input(path: Path, settings: Mapping[str, Any]) -> tuple[tuple[str, ...], list[float], list[int]]:
    """Return what a record says of a network's input: modalities, spacing in mm, and window in voxels.

    They go into a MONAI config, which would run text as code: so they are numbers and names, whoever wrote the record.

    Args:
        path: the record, for the message.
        settings: its settings.

    Raises:
        InputError: when one is absent, or is not what it should be.
    """
    missing = [name for name in ("modalities", "spacing", "roi_size") if name not in settings]
    if missing:
        raise InputError(f"{path} does not tell {', '.join(missing)}: name the folder of a training.")
    try:
        spacing, roi_size = [float(side) for side in settings["spacing"]], [int(side) for side in settings["roi_size"]]
        return parse_modalities(settings["modalities"]), spacing, roi_size
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} does not tell what the network sees ({error}). Copy the run again.") from error


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
