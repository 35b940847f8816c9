"""Segment a brain tumour from one MRI modality, taught by a network that sees four (PKDR, ICASSP 2024), for MONAI.

Importing this package is cheap: torch and MONAI load with the sub-package that needs them, at first use.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"

DISCLAIMER = "Research software, not a medical device."
"""Stands wherever results appear."""

_MODULES = (
    "arguments",
    "baselines",
    "caching",
    "data",
    "errors",
    "federated",
    "files",
    "handlers",
    "inference",
    "losses",
    "metrics",
    "modalities",
    "networks",
    "packaging",
    "regions",
    "regularizers",
    "reporting",
    "runs",
    "studies",
    "system",
    "terminal",
    "workflow",
)


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
