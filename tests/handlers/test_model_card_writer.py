"""The card follows the weights, and keeps what an evaluation noted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ignite.engine import Engine, Events

from pkdr_monai.handlers import ModelCardWriter
from pkdr_monai.handlers.records import known_card
from pkdr_monai.runs.model_card import Evaluation, ModelCard, file_hash

CARD = ModelCard("student", ("t2",), {"_target_": "x"}, (1.0, 1.0, 1.0), (16, 16, 16))


def test_the_card_follows_the_weights(make_run, tmp_path: Path) -> None:
    run = make_run()
    weights = tmp_path / "run" / "models" / "model.pt"
    ModelCardWriter(CARD, weights).attach(run.trainer)
    hashes = []

    @run.trainer.on(Events.EPOCH_COMPLETED)
    def _note(engine: Engine) -> None:
        card = weights.with_suffix(".json")
        hashes.append(ModelCard.read(card).sha256 if card.exists() else None)

    run.go(4)
    assert hashes[0] is None  # no validation, no weights yet
    assert ModelCard.read(weights.with_suffix(".json")).sha256 == file_hash(weights)


def test_a_resumed_run_keeps_the_evaluation_of_the_same_weights_and_drops_that_of_others(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"one")
    evaluated = replace(CARD.with_weights(weights), evaluation=Evaluation.of_scores([[0.1, 0.2, 0.3]], {}, "test"))
    evaluated.write()
    engine = Engine(lambda engine, batch: None)
    ModelCardWriter(CARD, weights).attach(engine)
    engine.run([0])
    assert ModelCard.read(tmp_path / "model.json").evaluation == evaluated.evaluation
    weights.write_bytes(b"other")
    engine.run([0])
    assert ModelCard.read(tmp_path / "model.json").evaluation is None


def test_a_damaged_card_is_not_known(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"one")
    card = CARD.with_weights(weights)
    assert known_card(card) is None
    (tmp_path / "model.json").write_text("{}")
    assert known_card(card) is None
    card.write()
    assert known_card(card) == card
