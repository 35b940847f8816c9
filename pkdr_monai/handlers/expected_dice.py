"""What an evaluation found, noted in the model's card, so that whoever runs the model knows what to expect of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from pkdr_monai.handlers.model_card_writer import known_card
from pkdr_monai.runs.model_card import Evaluation, ModelCard, data_source

__all__ = ["ExpectedDice"]


class ExpectedDice:
    """Note mean and standard deviation of the Dice of each region in the model's card.

    Weights that have no card, such as those of a run before cards were written, get one; what they were trained on it
    cannot tell. A card of the same weights under other settings is left alone, with a warning.

    Args:
        card: what the evaluation's settings say of the model.
        checkpoint: file of the weights.
        data_list: the data list that is evaluated on.
        section: its section.
        metric: name of the metric whose details are the Dice of each case and region.
    """

    def __init__(
        self,
        card: ModelCard,
        checkpoint: str | Path,
        data_list: Mapping[str, Any],
        section: str,
        metric: str = "val_mean_dice",
    ) -> None:
        self.card = card
        self.checkpoint = Path(checkpoint)
        self.data = data_source(data_list)
        self.section = section
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Register with the evaluator; only the first process of a distributed run writes."""
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the card."""
        state: Any = engine.state  # MONAI adds the details of its metrics to Ignite's state
        scores = state.metric_details[self.metric].tolist()  # (cases, 3)
        card = self.card.with_weights(self.checkpoint)
        written = known_card(card)
        if written is not None and not written.same_model(card):
            logging.getLogger("pkdr_monai").warning(
                "The card of %s names other modalities, another network or another spacing than this evaluation: "
                "its result is not noted there.",
                self.checkpoint,
            )
            return
        base = replace(card, training_data=None) if written is None else written
        evaluation = Evaluation.of_scores(scores, self.data, self.section)
        base.evaluated(evaluation, self.card.modalities).write()
