"""Ignite handlers for what MONAI and Ignite lack: exact resuming, loss parts, a run's history, picture and record."""

from pkdr_monai.handlers.checkpoint import TrainingCheckpoint, WeightsLoader
from pkdr_monai.handlers.guards import RunFolder, StopOnNan, StopSignals, require_free_folder
from pkdr_monai.handlers.progress import ProgressLog, ProgressPlot
from pkdr_monai.handlers.records import ExpectedDice, History, ModelCardWriter, RunRecord
from pkdr_monai.handlers.schedule import ReseedEachEpoch, WarmUp

__all__ = [
    "ExpectedDice",
    "History",
    "ModelCardWriter",
    "ProgressLog",
    "ProgressPlot",
    "ReseedEachEpoch",
    "RunFolder",
    "RunRecord",
    "StopOnNan",
    "StopSignals",
    "TrainingCheckpoint",
    "WarmUp",
    "WeightsLoader",
    "require_free_folder",
]
