"""A training run in miniature: one weight, random data, a validation that prefers a chosen epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from pkdr_monai.handlers import History, ReseedEachEpoch, TrainingCheckpoint


class PartsLoss(nn.Module):
    """A loss that lists its parts, as every training loss of the package does."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, torch.Tensor] = {}

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        self.parts = {"near": value.detach(), "far": 2 * value.detach()}
        return 3 * value


@dataclass
class Run:
    trainer: Engine
    evaluator: Engine
    network: nn.Linear
    history: History
    checkpoint: TrainingCheckpoint

    def go(self, epochs: int, steps: int = 3) -> None:
        self.trainer.run(range(steps), max_epochs=epochs)


def _evaluator(best_epoch: int) -> Engine:
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = -1.0, -1
    evaluator.state.key_metric_name = "val_mean_dice"

    @evaluator.on(Events.EPOCH_COMPLETED)
    def _compare(engine: Engine) -> None:
        value = 1.0 / (1 + abs(engine.state.epoch - best_epoch))
        engine.state.metrics["val_mean_dice"] = value
        if value > engine.state.best_metric:
            engine.state.best_metric, engine.state.best_metric_epoch = value, engine.state.epoch

    return evaluator


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    def make(
        folder: str = "run",
        resume: bool = False,
        best_epoch: int = 2,
        momentum: float | None = None,
        initial_weights: Path | None = None,
    ) -> Run:
        torch.manual_seed(7)
        network = nn.Linear(4, 1)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)
        loss_function = PartsLoss()

        def step(engine: Engine, batch: int) -> list[dict[str, float]]:
            optimizer.zero_grad()
            loss = loss_function(network(torch.randn(2, 4)).square().mean())
            loss.backward()
            optimizer.step()
            return [{"loss": loss.item()}, {"loss": loss.item()}]

        trainer, evaluator = Engine(step), _evaluator(best_epoch)
        history = History(tmp_path / folder / "history.csv", loss_function, optimizer, evaluator)
        checkpoint = TrainingCheckpoint(
            tmp_path / folder / "models",
            network,
            network,
            optimizer,
            scheduler,
            evaluator,
            resume=resume,
            average=None if momentum is None else EMAHandler(network, momentum),
            initial_weights=initial_weights,
        )
        ReseedEachEpoch(seed=3).attach(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: scheduler.step())

        @trainer.on(Events.EPOCH_COMPLETED(every=2))
        def _validate(engine: Engine) -> None:
            evaluator.state.epoch = engine.state.epoch - 1
            evaluator.state.max_epochs = engine.state.epoch
            evaluator.run([0], max_epochs=engine.state.epoch)

        history.attach(trainer)
        checkpoint.attach(trainer)
        return Run(trainer, evaluator, network, history, checkpoint)

    return make
