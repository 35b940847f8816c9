"""What a training leaves on disk, each file read and written in one place. Nothing here loads torch."""

from pkdr_monai.runs.model_card import ModelCard, card_path
from pkdr_monai.runs.models import choose_models, find_models, read_model
from pkdr_monai.runs.record import duration, environment
from pkdr_monai.runs.tables import read_history, read_table, write_history

__all__ = [
    "ModelCard",
    "card_path",
    "choose_models",
    "duration",
    "environment",
    "find_models",
    "read_history",
    "read_model",
    "read_table",
    "write_history",
]
