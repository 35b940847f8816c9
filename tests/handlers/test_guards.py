"""One training a folder; no step on NaN; Ctrl-C says how to continue."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import nn

from pkdr_monai.errors import InputError, RunError
from pkdr_monai.handlers import RunFolder, StopOnNan, require_free_folder


def _train(folder: Path, step=lambda engine, batch: None) -> None:
    engine = Engine(step)
    RunFolder(folder, folder / "models").attach(engine)
    engine.run([0])


def test_a_second_training_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def taken(*arguments: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    (tmp_path / "checkpoint.pt").touch()
    monkeypatch.setattr(fcntl, "lockf", taken)
    with pytest.raises(InputError, match=r"another training is writing to .*--output_dir"):
        _train(tmp_path)
    for resume in (False, True):  # before the cases are loaded, and first, as resuming would not help
        with pytest.raises(InputError, match=r"another training is writing to .*--output_dir"):
            require_free_folder(tmp_path, tmp_path, resume)


def test_a_folder_is_free_where_nothing_is_or_what_is_there_is_resumed(tmp_path: Path) -> None:
    require_free_folder(tmp_path / "run", tmp_path / "run" / "models")
    assert not (tmp_path / "run").exists()
    (tmp_path / "checkpoint.pt").touch()
    require_free_folder(tmp_path, tmp_path, "true")
    with pytest.raises(InputError, match=r"already holds checkpoint\.pt of another run.*--resume true"):
        require_free_folder(tmp_path, tmp_path, "false")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_folder_is_free_after_the_end_and_after_an_error(tmp_path: Path) -> None:
    def fail(engine: Engine, batch: int) -> None:
        raise RuntimeError("the first error")

    with pytest.raises(RuntimeError, match="the first error"):
        _train(tmp_path, fail)
    _train(tmp_path)
    _train(tmp_path)


def test_what_a_killed_training_had_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    remains = [tmp_path / ".run.json.abcd1234.tmp", tmp_path / "models" / ".checkpoint.pt.x_y_z_12.tmp"]
    for path in (*remains, tmp_path / "models" / "model.pt"):
        path.touch()
    _train(tmp_path)
    assert [path.exists() for path in remains] == [False, False]
    assert (tmp_path / "models" / "model.pt").exists()


def _trainer(losses: list[float], network: nn.Module) -> tuple[Engine, list[float]]:
    stepped: list[float] = []

    def step(engine: Engine, batch: dict) -> None:
        loss = torch.tensor(losses[engine.state.iteration - 1])
        engine.state.output = {"loss": loss}
        engine.fire_event(IterationEvents.LOSS_COMPLETED)
        stepped.append(loss.item())

    trainer = Engine(step)
    trainer.register_events(*IterationEvents)
    StopOnNan(network).attach(trainer)
    return trainer, stepped


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "nan"), (float("inf"), "inf"), (float("-inf"), "-inf")])
def test_the_cases_of_the_batch_are_named_before_the_step(value: float, word: str) -> None:
    trainer, stepped = _trainer([1.0, 2.0, value], nn.Linear(1, 1))
    batches = [{"case": ["a", "b"]}, {"case": ["c", "d"]}]
    with pytest.raises(RunError, match=rf"^the loss is {word} in epoch 2 on the cases a, b\. "):
        trainer.run(batches, max_epochs=2)
    assert stepped == [1.0, 2.0]


def test_a_batch_that_names_no_case_stops_too() -> None:
    trainer, _ = _trainer([float("nan")], nn.Linear(1, 1))
    with pytest.raises(RunError, match=r"^the loss is nan in epoch 1\. "):
        trainer.run([torch.zeros(1)])


def test_weights_that_are_no_numbers_are_not_saved() -> None:
    network, saved = nn.Linear(1, 1), []
    trainer, _ = _trainer([1.0, 1.0], network)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: saved.append(engine.state.epoch))

    @trainer.on(Events.ITERATION_COMPLETED(once=2))
    def _spoil() -> None:
        network.bias.data.fill_(float("inf"))

    with pytest.raises(RunError, match="the weights bias are NaN or infinite after epoch 2"):
        trainer.run([{}], max_epochs=2)
    assert saved == [1]
