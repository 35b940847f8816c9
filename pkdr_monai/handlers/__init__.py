"""Ignite handlers for what MONAI and Ignite lack: exact resuming, loss parts, a run's history, picture and record."""

from pkdr_monai.handlers.expected_dice import ExpectedDice
from pkdr_monai.handlers.history import History
from pkdr_monai.handlers.model_card_writer import ModelCardWriter
from pkdr_monai.handlers.progress_log import ProgressLog
from pkdr_monai.handlers.progress_plot import ProgressPlot
from pkdr_monai.handlers.reseed import ReseedEachEpoch
from pkdr_monai.handlers.run_folder import RunFolder
from pkdr_monai.handlers.run_record import RunRecord
from pkdr_monai.handlers.stop_on_nan import StopOnNan
from pkdr_monai.handlers.stop_signals import StopSignals
from pkdr_monai.handlers.training_checkpoint import TrainingCheckpoint
from pkdr_monai.handlers.warm_up import WarmUp
from pkdr_monai.handlers.weights_loader import WeightsLoader

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
]
