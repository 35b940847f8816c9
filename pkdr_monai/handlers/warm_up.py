"""Weights of a loss that grow over the first epochs."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Protocol

from ignite.engine import Engine, Events

__all__ = ["WarmUp"]


class _Weighted(Protocol):
    weights: MutableMapping[str, float]


class WarmUp:
    """Let terms of a loss grow to their weights in equal steps, one an epoch.

    In epoch e of the first n, a term has e / (n + 1) of its weight, from then on all of it; a resumed run is the same.
    The paper has no warm-up: it is a control for the contrastive term, which is the largest at first.

    Args:
        loss: loss whose ``weights`` map a term's name to its weight, such as :class:`~pkdr_monai.losses.PKDRLoss`.
        terms: names of the terms.
        epochs: n.

    Raises:
        ValueError: when the loss has no such term, or ``epochs`` is negative.
    """

    def __init__(self, loss: _Weighted, terms: Collection[str], epochs: int) -> None:
        unknown = sorted(set(terms) - set(loss.weights))
        if unknown:
            raise ValueError(f"WarmUp expects terms among {', '.join(loss.weights)}, got {', '.join(unknown)}.")
        if epochs < 0:
            raise ValueError(f"WarmUp expects epochs to be 0 or more, got {epochs}.")
        self.loss = loss
        self.full = {term: loss.weights[term] for term in terms}
        self.epochs = epochs

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Set the weights of the epoch that starts."""
        part = min(1.0, engine.state.epoch / (self.epochs + 1))
        self.loss.weights.update({term: part * weight for term, weight in self.full.items()})
