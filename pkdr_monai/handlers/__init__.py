"""Ignite handlers for what MONAI and Ignite lack: exact resuming, loss parts, a run's history, picture and record."""

from pkdr_monai.handlers.history import History
from pkdr_monai.handlers.progress_log import ProgressLog
from pkdr_monai.handlers.progress_plot import ProgressPlot
from pkdr_monai.handlers.reseed import ReseedEachEpoch
from pkdr_monai.handlers.run_record import RunRecord
from pkdr_monai.handlers.training_checkpoint import TrainingCheckpoint
from pkdr_monai.handlers.warm_up import WarmUp
from pkdr_monai.handlers.weights_loader import WeightsLoader

__all__ = [
    "History",
    "ProgressLog",
    "ProgressPlot",
    "ReseedEachEpoch",
    "RunRecord",
    "TrainingCheckpoint",
    "WarmUp",
    "WeightsLoader",
]
