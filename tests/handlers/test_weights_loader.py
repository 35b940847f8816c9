"""Weights are read when an engine starts, once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from pkdr_monai.errors import InputError
from pkdr_monai.handlers import WeightsLoader


def test_weights_are_in_place_before_the_first_case(tmp_path: Path) -> None:
    source, network = nn.Linear(2, 1), nn.Linear(2, 1)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    seen = []
    engine = Engine(lambda engine, batch: seen.append(network.weight.clone()))
    WeightsLoader(network, tmp_path / "model.pt").attach(engine)
    engine.run([0])
    torch.testing.assert_close(seen[0], source.weight)


def test_missing_weights_stop_the_engine_with_a_sentence(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: None)
    WeightsLoader(nn.Linear(2, 1), tmp_path / "model.pt").attach(engine)
    with pytest.raises(InputError, match="there is no checkpoint"):
        engine.run([0])
