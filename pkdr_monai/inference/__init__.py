"""Segment scans with trained models: find both, run them fast on a CPU, and say what the result is worth."""

from pkdr_monai.inference.backends import Backend, TorchBackend
from pkdr_monai.inference.cohort import Shard, predict
from pkdr_monai.inference.predictor import Settings
from pkdr_monai.inference.scans import Scan, find_scans
from pkdr_monai.runs.models import choose_models, find_models

__all__ = [
    "Backend",
    "Scan",
    "Settings",
    "Shard",
    "TorchBackend",
    "choose_models",
    "find_models",
    "find_scans",
    "predict",
]
