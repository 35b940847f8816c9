"""An evaluation notes what to expect in the card of the weights that it evaluated, and in no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from pkdr_monai.handlers import ExpectedDice
from pkdr_monai.runs.model_card import ModelCard

TRAINED_ON = {"name": "there", "hash": "a", "synthetic": False}
CARD = ModelCard("student", ("t2",), {"_target_": "x"}, (1.0, 1.0, 1.0), (16, 16, 16), training_data=TRAINED_ON)
HERE = {"name": "here", "hash": "b", "training": [], "validation": [], "test": [{"case": "Phantom18_0"}]}


def evaluate(card: ModelCard, weights: Path) -> ModelCard:
    def finish(engine: Engine, batch: int) -> None:
        engine.state.metric_details = {"val_mean_dice": torch.tensor([[0.5, 0.8, 0.1], [0.7, 0.8, 0.3]])}

    engine = Engine(finish)
    ExpectedDice(card, weights, HERE, "test").attach(engine)
    engine.run([0])
    return ModelCard.read(weights.with_suffix(".json"))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(b"one")
    return path


def test_the_result_is_noted_beside_what_the_training_wrote(weights: Path) -> None:
    CARD.with_weights(weights).write()
    card = evaluate(replace(CARD, training_data=None), weights)
    assert card.training_data == TRAINED_ON
    assert card.evaluation.mean == pytest.approx({"tc": 0.6, "wt": 0.8, "et": 0.2})
    assert (card.evaluation.cases, card.evaluation.section) == (2, "test")
    assert card.evaluation.data == {"name": "here", "hash": "b", "synthetic": True}


def test_weights_without_a_card_get_one_that_claims_nothing_about_their_training(weights: Path) -> None:
    card = evaluate(CARD, weights)
    assert card.training_data is None
    assert card.evaluation is not None


def test_a_card_of_other_settings_is_left_alone(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    CARD.with_weights(weights).write()
    card = evaluate(replace(CARD, spacing=(2.0, 2.0, 2.0)), weights)
    assert card == CARD.with_weights(weights)
    assert "is not noted there" in caplog.text
