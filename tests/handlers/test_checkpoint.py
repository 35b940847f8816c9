"""A run that was killed continues as if nothing had happened, and nobody's work is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from pkdr_monai.errors import InputError
from pkdr_monai.handlers import WeightsLoader


class KilledError(RuntimeError):
    pass


def _kill_in_epoch(run, epoch: int) -> None:
    @run.trainer.on(Events.ITERATION_COMPLETED)
    def _die(engine) -> None:
        if engine.state.epoch == epoch:
            raise KilledError


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("killed_in", [1, 2, 3, 4, 6])
def test_a_resumed_run_ends_with_the_very_same_weights(make_run, tmp_path: Path, killed_in: int) -> None:
    make_run("whole").go(6)
    first = make_run("broken", resume=True)
    _kill_in_epoch(first, killed_in)
    with pytest.raises(KilledError):
        first.go(6)
    make_run("broken", resume=True).go(6)
    for name in ("model.pt", "model_last.pt"):
        whole, broken = _weights(tmp_path / "whole/models" / name), _weights(tmp_path / "broken/models" / name)
        torch.testing.assert_close(broken, whole, rtol=0, atol=0)


def test_the_best_network_survives_a_resumption_after_it(make_run, tmp_path: Path) -> None:
    first = make_run(best_epoch=2)
    _kill_in_epoch(first, 4)
    with pytest.raises(KilledError):
        first.go(6)
    best = _weights(tmp_path / "run/models/model.pt")
    resumed = make_run(resume=True, best_epoch=2)
    resumed.go(6)
    assert resumed.evaluator.state.best_metric_epoch == 2
    torch.testing.assert_close(_weights(tmp_path / "run/models/model.pt"), best, rtol=0, atol=0)


def test_a_write_that_dies_leaves_the_last_whole_checkpoint(make_run, tmp_path: Path, monkeypatch) -> None:
    run = make_run()
    run.go(2)
    before = (tmp_path / "run/models/checkpoint.pt").read_bytes()

    def die_half_way(state, file) -> None:
        file.write(b"half a checkpoint")
        raise KilledError

    monkeypatch.setattr("pkdr_monai.handlers.checkpoint.torch.save", die_half_way)
    resumed = make_run(resume=True)
    with pytest.raises(KilledError):
        resumed.go(4)
    assert (tmp_path / "run/models/checkpoint.pt").read_bytes() == before


def test_a_new_run_does_not_overwrite_another(make_run) -> None:
    make_run().go(1)
    with pytest.raises(InputError, match=r"already holds checkpoint.pt of another run.*--resume true"):
        make_run().go(1)


def test_shipped_weights_are_not_overwritten_either(make_run, tmp_path: Path) -> None:
    (tmp_path / "run/models").mkdir(parents=True)
    (tmp_path / "run/models/model.pt").write_bytes(b"weights")
    with pytest.raises(InputError, match=r"already holds model.pt"):
        make_run().go(1)


def test_resuming_nothing_starts_afresh(make_run, tmp_path: Path) -> None:
    make_run(resume=True).go(2)
    assert (tmp_path / "run/models/model_last.pt").exists()


def test_a_finished_run_resumes_into_nothing(make_run, tmp_path: Path) -> None:
    make_run().go(2)
    before = _weights(tmp_path / "run/models/model_last.pt")
    make_run(resume=True).go(2)
    torch.testing.assert_close(_weights(tmp_path / "run/models/model_last.pt"), before, rtol=0, atol=0)


def test_a_resumed_run_takes_another_rate_and_decay(make_run) -> None:
    make_run().go(2)
    again = make_run(resume=True)
    optimizer = again.checkpoint.parts["optimizer"]
    optimizer.param_groups[0] |= {"initial_lr": 0.5, "weight_decay": 0.25}  # as another configuration would
    rates: list[float] = []
    again.trainer.add_event_handler(Events.EPOCH_STARTED, lambda: rates.append(optimizer.param_groups[0]["lr"]))
    again.go(4)
    assert rates == pytest.approx([0.5 * 0.9**2, 0.5 * 0.9**3])
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


def test_a_checkpoint_of_other_settings_is_refused(make_run, tmp_path: Path) -> None:
    run = make_run()
    run.go(1)
    path = tmp_path / "run/models/checkpoint.pt"
    state = torch.load(path, weights_only=True)
    state["distiller"]["weight"] = torch.zeros(3, 3)
    torch.save(state, path)
    with pytest.raises(InputError, match="written by a run with other settings"):
        make_run(resume=True).go(2)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    make_run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_run("whole").go(4)
    make_run().go(3)
    path = tmp_path / "run/models/checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    make_run(resume=True).go(4)
    assert "checkpoint.pt is damaged or incomplete" in caplog.text
    assert "Continuing from the checkpoint before it" in caplog.text
    whole, broken = _weights(tmp_path / "whole/models/model_last.pt"), _weights(tmp_path / "run/models/model_last.pt")
    torch.testing.assert_close(broken, whole, rtol=0, atol=0)


def test_a_run_killed_between_the_renaming_of_two_checkpoints_goes_on(make_run, tmp_path: Path) -> None:
    make_run("whole").go(4)
    make_run().go(3)
    models = tmp_path / "run/models"
    (models / "checkpoint.pt").replace(models / "checkpoint_previous.pt")
    make_run(resume=True).go(4)
    torch.testing.assert_close(
        _weights(models / "model_last.pt"), _weights(tmp_path / "whole/models/model_last.pt"), rtol=0, atol=0
    )


def test_a_lone_damaged_checkpoint_is_named(make_run, tmp_path: Path) -> None:
    make_run().go(1)
    path = tmp_path / "run/models/checkpoint.pt"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"checkpoint\.pt"):
        make_run(resume=True).go(2)


def test_a_run_that_is_never_validated_still_leaves_a_model(
    make_run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_run().go(1)  # validated every other epoch
    assert "No epoch was validated" in caplog.text
    first, last = (_weights(tmp_path / "run/models" / name) for name in ("model.pt", "model_last.pt"))
    torch.testing.assert_close(first, last, rtol=0, atol=0)


@pytest.mark.parametrize(("word", "meaning"), [("true", True), ("false", False), (True, True)])
def test_resume_understands_the_words_of_a_command_line(make_run, word: object, meaning: bool) -> None:
    assert make_run(resume=word).checkpoint.resume is meaning


def test_resume_refuses_other_words(make_run) -> None:
    with pytest.raises(InputError, match="expected true or false, got 'perhaps'"):
        make_run(resume="perhaps")


@pytest.mark.parametrize("killed_in", [1, 2, 5])
def test_a_resumed_moving_average_is_the_very_same(make_run, tmp_path: Path, killed_in: int) -> None:
    make_run("whole", momentum=0.1).go(6)
    first = make_run("broken", resume=True, momentum=0.1)
    _kill_in_epoch(first, killed_in)
    with pytest.raises(KilledError):
        first.go(6)
    make_run("broken", resume=True, momentum=0.1).go(6)
    whole, broken = (_weights(tmp_path / name / "models/model_last.pt") for name in ("whole", "broken"))
    torch.testing.assert_close(broken, whole, rtol=0, atol=0)


def test_the_moving_average_is_what_is_kept(make_run, tmp_path: Path) -> None:
    run = make_run(momentum=0.1)
    seen = [run.network.weight.detach().clone()]  # the average begins where the network does
    run.trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: seen.append(0.9 * seen[-1] + 0.1 * run.network.weight.detach())
    )
    run.go(4)
    torch.testing.assert_close(_weights(tmp_path / "run/models/model_last.pt")["weight"], seen[-1])


def test_a_run_begins_from_given_weights_but_resumes_from_its_own(make_run, tmp_path: Path) -> None:
    given = {"weight": torch.full((1, 4), 5.0), "bias": torch.zeros(1)}
    torch.save(given, tmp_path / "given.pt")
    run = make_run(initial_weights=tmp_path / "given.pt", momentum=0.1)
    seen = []
    run.trainer.add_event_handler(Events.EPOCH_STARTED(once=1), lambda: seen.append(run.network.weight.clone()))
    run.go(2)
    torch.testing.assert_close(seen[0], given["weight"])
    resumed = make_run(resume=True, initial_weights=tmp_path / "given.pt", momentum=0.1)
    resumed.trainer.add_event_handler(Events.EPOCH_STARTED(once=3), lambda: seen.append(resumed.network.weight.clone()))
    resumed.go(3)
    assert not torch.equal(seen[1], given["weight"])


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
