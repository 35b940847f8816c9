"""What a training needs beside its data: the seed of each epoch, and the warm-up of the loss weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, MutableMapping
from typing import Protocol

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.transforms import Compose
from monai.utils import set_determinism
from torch.utils.data import Dataset

__all__ = ["ReseedEachEpoch", "WarmUp"]


class ReseedEachEpoch:
    """Seed all generators with ``seed + epoch`` when an epoch starts.

    A checkpoint can then leave out the state of every generator: whatever drew numbers before, epoch ``n`` always draws
    the same. Each process of a distributed run gets a seed of its own.

    Args:
        seed: seed of the run.
        transform: transform of the training data set; without workers its random state lives in this process.
        dataset: training data set; one that draws its cases, such as
            :class:`~pkdr_monai.phantom.wide.WideCases`, has ``set_epoch(epoch)``, which is called.
    """

    def __init__(self, seed: int, transform: Compose | None = None, dataset: Dataset | None = None) -> None:
        self.seed = seed
        self.transform = transform
        self.set_epoch: Callable[[int], None] | None = getattr(dataset, "set_epoch", None)

    def attach(self, engine: Engine) -> None:
        """Register with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        seed = (self.seed + engine.state.epoch) * idist.get_world_size() + idist.get_rank()
        set_determinism(seed)
        if self.set_epoch is not None:
            self.set_epoch(engine.state.epoch)
        if self.transform is not None:
            self.transform.set_random_state(seed)


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
