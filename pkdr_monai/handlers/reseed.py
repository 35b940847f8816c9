"""Fresh, known randomness at every epoch's start, so that a resumed run draws what an uninterrupted one would."""

from __future__ import annotations

from collections.abc import Callable

import ignite.distributed as idist
from ignite.engine import Engine, Events
from monai.transforms import Compose
from monai.utils import set_determinism
from torch.utils.data import Dataset

__all__ = ["ReseedEachEpoch"]


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
