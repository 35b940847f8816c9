"""Weights read when an engine starts, with one clear sentence when they do not fit."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from pkdr_monai.networks import load_weights

__all__ = ["WeightsLoader"]


class WeightsLoader:
    """Fill the network from a checkpoint when the engine first starts.

    MONAI's ``CheckpointLoader`` does the same with a stack trace; this one speaks to the person who chose the file.

    Args:
        network: network to fill.
        path: a plain state dict of tensors.
    """

    def __init__(self, network: nn.Module, path: str | Path) -> None:
        self.network = network
        self.path = path
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
            load_weights(self.network, self.path)
            self._loaded = True
