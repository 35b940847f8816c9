"""An epoch draws the same numbers whatever came before it."""

from __future__ import annotations

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose, RandScaleIntensity
from torch.utils.data import Dataset

from pkdr_monai.handlers import ReseedEachEpoch


def _draws(first_epoch: int, disturb: int) -> list[tuple[float, float, float]]:
    transform = Compose([RandScaleIntensity(factors=0.5, prob=1.0)])
    torch.rand(disturb), np.random.rand(disturb)
    drawn: list[tuple[float, float, float]] = []

    def step(engine: Engine, batch: int) -> None:
        drawn.append((float(torch.rand(1)), float(np.random.rand()), float(transform(torch.ones(1)))))

    engine = Engine(step)
    ReseedEachEpoch(5, transform).attach(engine)
    engine.add_event_handler(Events.STARTED, lambda: setattr(engine.state, "epoch", first_epoch - 1))
    engine.run([0], max_epochs=3)
    return drawn


def test_an_epoch_does_not_remember_what_was_drawn_before() -> None:
    assert _draws(1, disturb=0)[2] == _draws(3, disturb=11)[0]


def test_epochs_differ() -> None:
    assert len(set(_draws(1, disturb=0))) == 3


def test_a_data_set_that_draws_its_cases_is_told_the_epoch() -> None:
    class Drawn(Dataset):
        epochs: list[int] = []

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    dataset, engine = Drawn(), Engine(lambda engine, batch: None)
    ReseedEachEpoch(seed=0, dataset=dataset).attach(engine)
    engine.run([0], max_epochs=3)
    assert dataset.epochs == [1, 2, 3]
