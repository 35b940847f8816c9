"""Weights read when an engine starts, with one clear sentence when they do not fit."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from pkdr_monai.modalities import channel_indices
from pkdr_monai.networks import load_weights
from pkdr_monai.runs.model_card import ModelCard, card_path

__all__ = ["WeightsLoader"]

logger = logging.getLogger("pkdr_monai")


class WeightsLoader:
    """Fill the network from a checkpoint when the engine first starts.

    MONAI's ``CheckpointLoader`` does the same with a stack trace; this one speaks to the person who chose the file.

    Args:
        network: network to fill.
        path: a plain state dict of tensors.
        modalities: what the network sees. Weights whose card says that they serve any subset of their modalities then
            fill a network of these alone; ``None`` where the network has all that the weights have.
    """

    def __init__(self, network: nn.Module, path: str | Path, modalities: Sequence[str] | None = None) -> None:
        self.network = network
        self.path = path
        self.modalities = modalities
        self._loaded = False

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Read the weights.

        Raises:
            InputError: when the file is absent, damaged or another network's.
        """
        if not self._loaded:
            load_weights(self.network, self.path, self._channels())
            logger.info("weights: %s", self.path)
            self._loaded = True

    def _channels(self) -> tuple[int, ...] | None:
        if self.modalities is None or hasattr(self.network, "available") or not card_path(self.path).is_file():
            return None
        card = ModelCard.read(card_path(self.path))
        return channel_indices(self.modalities, card.network["modalities"]) if card.any_subset else None
