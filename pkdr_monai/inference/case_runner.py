"""One case after the other: check it, choose its model, compute, write; whatever goes wrong stays with the case."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch

from pkdr_monai.data.headers import read_once
from pkdr_monai.errors import plain_error_in
from pkdr_monai.inference.backends import Engine, choose_engine
from pkdr_monai.inference.predictor import Predictor, load_predictor, scan_probabilities
from pkdr_monai.inference.results import (
    RECORD,
    case_inputs,
    case_key,
    clear_results,
    finished_record,
    write_record,
    write_results,
)
from pkdr_monai.inference.scans import Scan, check_scan, refuse_two_candidates
from pkdr_monai.inference.settings import Settings
from pkdr_monai.inference.statements import NOTE, describe_model, describe_volumes, warnings_about
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.runs.models import choose_models

__all__ = ["CaseRunner"]

logger = logging.getLogger(__name__)

"""Called with each line for people."""

Model: TypeAlias = tuple[Path | None, tuple[str, ...]]
"""What one loaded network is: its weights and the modalities that it is given."""


@dataclass
class CaseRunner:
    """Segment cases one after the other, whatever becomes of each; a case depends on no other.

    Args:
        output: folder for the results.
        cards: the models there are.
        settings: how to segment.
        device: where to compute.
        log: called with each line for people.
        command: says the bundle's own command for a model.
    """

    output: Path
    cards: Sequence[ModelCard]
    settings: Settings
    device: torch.device
    log: Callable[[str], None]
    command: Callable[[ModelCard], str] | None = None
    _engines: dict[Model, Engine] = field(default_factory=dict)
    _loaded: dict[Model, Predictor] = field(default_factory=dict)
    _told: dict[Model, ModelCard] = field(default_factory=dict)

    def models_used(self) -> list[dict[str, Any]]:
        """Return the models that were chosen so far, for the record."""
        return [
            {
                **{key: getattr(card, key) for key in ("name", "version", "sha256", "modalities", "synthetic")},
                "weights": str(card.weights),
                "engine": str(self._engine(card)),
                "expected_dice": None if card.evaluation is None else vars(card.evaluation),
                "warnings": warnings_about(card),
            }
            for card in self._told.values()
        ]

    def run(self, scan: Scan) -> dict[str, Any]:
        """Segment one case, or skip it, and return what became of it; an error is told and returned, not raised."""
        result: dict[str, Any] = {"case": scan.name, "found": scan.modalities, "missing": scan.missing}
        try:
            return result | self._segment(scan)
        except Exception as error:  # what nobody foresaw in one case must not take the others with it
            failure = {"status": "failed", **_describe(error)}
            logger.debug("case %s", scan.name, exc_info=True)
        self.log(f"{scan.name}: FAILED: {failure['error']}")
        return result | failure

    def _segment(self, scan: Scan) -> dict[str, Any]:
        begun = time.monotonic()
        scan.case.refuse_unclear()
        missing = f"; missing: {', '.join(scan.missing)}" if scan.missing else ""
        self.log(f"{scan.name}: found {', '.join(scan.modalities)}{missing}")
        cards = choose_models(self.cards, scan.modalities, self.settings.use)
        self._introduce(cards)
        refuse_two_candidates(scan)
        seen = tuple(modality for modality in scan.modalities if any(modality in card.modalities for card in cards))
        inputs = case_inputs(scan, seen)
        key = case_key(inputs, cards, self.settings, [str(self._engine(card)) for card in cards])
        folder, scheme = self.output / scan.name, self.settings.label_scheme or cards[0].label_scheme
        record = finished_record(folder, key)
        if record is not None:
            self.log(f"{scan.name}: done before, {describe_volumes(record['volumes_ml'])}")
            known = {name: record[name] for name in ("outputs", "volumes_ml")}
            return {"status": "skipped", "label_scheme": scheme, **known}
        with read_once():
            warnings = check_scan(scan, seen, self.settings.force, self.settings.strict)
            for warning in warnings:
                self.log(f"warning: {warning}")
            probabilities = scan_probabilities(scan, [self._predictor(card) for card in cards], self.settings)
            content: dict[str, Any] = {"models": [card.name for card in cards], "warnings": warnings}
            clear_results(folder)
            content |= write_results(folder, scan, probabilities, cards, self.settings)
        content["seconds"] = round(time.monotonic() - begun, 1)
        write_record(folder / RECORD, {"case": scan.name, "key": key, "inputs": inputs, **content, "note": NOTE})
        self.log(f"{scan.name}: {describe_volumes(content['volumes_ml'])}; {content['seconds']:g} s, in {folder}")
        return {"status": "done", "label_scheme": scheme, **content}

    def _predictor(self, card: ModelCard) -> Predictor:
        model = _model(card)
        if model not in self._loaded:
            self._loaded[model] = load_predictor(card, self._engine(card), self.device)
        return self._loaded[model]

    def _engine(self, card: ModelCard) -> Engine:
        model = _model(card)
        if model not in self._engines:
            settings = self.settings
            self._engines[model] = choose_engine(card, settings.backend, settings.precision, self.device)
        return self._engines[model]

    def _introduce(self, cards: Iterable[ModelCard]) -> None:
        """Say once of each model what it is, what to expect of it, and how to run it without this package's verb."""
        for card in cards:
            if _model(card) in self._told:
                continue
            engine = self._engine(card)
            self._told[_model(card)] = card
            for line in describe_model(card):
                self.log(line)
            self.log(f"  computed by {engine}")
            for warning in warnings_about(card):
                self.log(f"  warning: {warning}")
            if self.command is not None:
                self.log(f"  by MONAI alone, in float32, the label map alone:\n    {self.command(card)}")


def _model(card: ModelCard) -> Model:
    return card.weights, card.modalities


def _describe(error: Exception) -> dict[str, str]:
    plain = plain_error_in(error)
    if plain is not None:
        return {"error": str(plain), "kind": "input"}
    return {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", "kind": "unexpected"}
