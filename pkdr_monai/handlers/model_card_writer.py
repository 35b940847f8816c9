"""The card of the best network so far, ``model.json`` beside ``model.pt``, so that the weights can be run by anyone."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
from ignite.engine import Engine, Events

from pkdr_monai.errors import InputError
from pkdr_monai.runs.model_card import ModelCard, card_path

__all__ = ["ModelCardWriter", "known_card"]


class ModelCardWriter:
    """Write a model's card whenever its weights have changed.

    Attach it behind the :class:`TrainingCheckpoint`, which writes the weights. A card that already speaks of them is
    kept, with what an evaluation noted in it.

    Args:
        card: what the run knows of its model.
        checkpoint: file of the weights.
    """

    def __init__(self, card: ModelCard, checkpoint: str | Path) -> None:
        self.card = card
        self.checkpoint = Path(checkpoint)
        self._seen: tuple[int, int] | None = None

    def attach(self, engine: Engine) -> None:
        """Register with the trainer; only the first process of a distributed run writes."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the card, unless it is there."""
        if not self.checkpoint.exists():
            return
        status = self.checkpoint.stat()
        state = (status.st_mtime_ns, status.st_size)
        if state == self._seen:
            return
        self._seen = state
        card = self.card.with_weights(self.checkpoint)
        if known_card(card) is None:
            card.write()


def known_card(card: ModelCard) -> ModelCard | None:
    """Return the card on the disk, where there is one and it speaks of the same weights as ``card``."""
    if card.weights is None or not card_path(card.weights).exists():
        return None
    try:
        written = ModelCard.read(card_path(card.weights))
    except InputError:
        return None  # of another version, or damaged: it is written again
    return written if written.sha256 == card.sha256 else None
