"""A training whose loss is no number ends, before its network is spoilt, and says on which cases."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import nn

from pkdr_monai.errors import RunError

__all__ = ["StopOnNan"]

WHAT_TO_DO = (
    "The last checkpoint is sound. Check the data with `pkdr data check`, or train with a lower --learning_rate."
)


class StopOnNan:
    """Stop when the loss, or a weight after an epoch, is NaN or infinite.

    Ignite's ``TerminateOnNan`` looks after the optimiser's step and lets the epoch's end save what that made of the
    network. This one looks before it, names the cases of the batch, and lets nothing be saved. Attach it before the
    validation and the checkpoint.

    Args:
        network: all that trains.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)

    def check_loss(self, engine: Engine) -> None:
        """Look at the loss of a batch.

        Raises:
            RunError: when it is no finite number.
        """
        state: Any = engine.state
        loss = state.output["loss"]
        if not bool(torch.isfinite(loss)):
            cases = state.batch.get("case") if isinstance(state.batch, dict) else None
            where = f" on the cases {', '.join(cases)}" if cases else ""
            raise RunError(f"the loss is {loss.item():g} in epoch {state.epoch}{where}. {WHAT_TO_DO}")

    def check_weights(self, engine: Engine) -> None:
        """Look at the weights, since a finite loss can have a gradient that is none.

        Raises:
            RunError: when one is no finite number.
        """
        for name, value in self.network.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise RunError(f"the weights {name} are NaN or infinite after epoch {engine.state.epoch}. {WHAT_TO_DO}")
