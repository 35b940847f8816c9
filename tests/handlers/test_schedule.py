"""An epoch draws the same numbers whatever came before it, and terms of a loss grow step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.transforms import Compose, RandScaleIntensity
from torch.utils.data import Dataset

from pkdr_monai.handlers import ReseedEachEpoch, WarmUp
from pkdr_monai.losses import PKDRLoss

TERMS = ["pixel_kd", "patch_contrastive"]


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


def _weights_by_epoch(loss: PKDRLoss, epochs: int, start: int = 0) -> list[dict[str, float]]:
    seen = []
    trainer = Engine(lambda engine, batch: seen.append(dict(loss.weights)))
    WarmUp(loss, TERMS, epochs=3).attach(trainer)
    trainer.load_state_dict({"epoch": start, "max_epochs": epochs, "epoch_length": 1}) if start else None
    trainer.run([0], max_epochs=epochs)
    return seen


def test_weights_grow_by_equal_steps_and_then_stay() -> None:
    seen = _weights_by_epoch(PKDRLoss(beta=0.8), epochs=6)
    assert [weights["pixel_kd"] for weights in seen] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert [weights["patch_contrastive"] for weights in seen] == [weights["pixel_kd"] for weights in seen]


def test_other_terms_keep_their_weights() -> None:
    for weights in _weights_by_epoch(PKDRLoss(alpha=0.7, beta=0.8), epochs=4):
        assert (weights["segmentation"], weights["patch_selection"], weights["patch_kd"]) == (1.0, 0.7, 0.8)


def test_resumed_run_goes_on_where_it_was() -> None:
    assert _weights_by_epoch(PKDRLoss(beta=0.8), epochs=4, start=2)[0]["pixel_kd"] == pytest.approx(0.6)


def test_term_that_the_loss_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="got pixel_kd"):
        WarmUp(PKDRLoss(without=["pixel_kd"]), TERMS, epochs=3)


def test_negative_number_of_epochs_is_refused() -> None:
    with pytest.raises(ValueError, match="expects epochs to be 0 or more, got -1"):
        WarmUp(PKDRLoss(), TERMS, epochs=-1)
