from __future__ import annotations

import inspect
from typing import Any

import fire
import pytest

from pkdr_monai.arguments import switch
from pkdr_monai.cli import Commands
from pkdr_monai.errors import InputError
from pkdr_monai.terminal import ProgressLine, command, run_plan, settle_switches


def test_verb_does_nothing_until_its_plan_is_run() -> None:
    done = []
    plan = command()(done.append)("word")
    assert done == []
    run_plan(plan)
    assert done == ["word"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("pkdr_monai.terminal.time.monotonic", clock)
    return clock


def test_progress_in_a_log_is_a_line_every_five_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine("checking")
    for done in range(1, 11):
        clock.now += 2
        progress(done, 10)
    assert capsys.readouterr().err.splitlines() == [
        "checking: 3 of 10 cases, about 14 s left",
        "checking: 6 of 10 cases, about 8 s left",
        "checking: 9 of 10 cases, about 2 s left",
    ]


def test_progress_on_a_terminal_is_one_line_that_vanishes(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = ProgressLine("checking")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    clock.now = 1
    progress(1, 2)
    progress(2, 2)
    assert capsys.readouterr().err == "\r\x1b[Kchecking: 1 of 2 cases, about 1 s left\r\x1b[K"


@pytest.mark.parametrize(
    ("words", "settled"),
    [
        ("predict --fast scans -o out", "predict --fast=True scans -o out"),
        ("predict -q scans -o out", "predict -q=True scans -o out"),
        ("predict scans --tta -o out --force", "predict scans --tta=True -o out --force=True"),
        ("predict --fast false scans -o out", "predict --fast=false scans -o out"),
        ("predict --fast=true scans", "predict --fast=true scans"),
        ("predict --save-probabilities a.nii -o out", "predict --save-probabilities=True a.nii -o out"),
        ("data split --force folder --seed 1", "data split --force=True folder --seed 1"),
        ("train --dry_run student --resume true", "train --dry_run=True student --resume=true"),
        ("train --resume student", "train --resume=True student"),
        ("train teacher --learning_rate -1 --help", "train --help"),
        ("predict scans -o - --seed -1", "predict scans -o - --seed -1"),
        ("predict scans -- --help", "predict scans -- --help"),
        ("unknown --fast scans", "unknown --fast scans"),
        ("", ""),
    ],
)
def test_a_switch_may_stand_anywhere(words: str, settled: str) -> None:
    assert settle_switches(words.split(), Commands()) == settled.split()


def _verbs() -> list[Any]:
    commands = Commands()
    groups = [commands, commands.bundle, commands.data, commands.experiment]
    members = [verb for group in groups for name, verb in inspect.getmembers(group) if name[0] != "_"]
    return [verb for verb in members if inspect.isroutine(verb)]


def test_the_help_of_a_command_says_all_that_its_docstring_says_of_an_argument() -> None:
    for verb in _verbs():
        arguments = fire.docstrings.parse(inspect.getdoc(verb)).args or []
        _, _, written = inspect.getdoc(verb).partition("Args:\n")
        written = written.partition("\n\n")[0]
        shown = " ".join(f"{argument.name}: {argument.description}" for argument in arguments)
        assert shown.split() == written.split(), verb


def test_every_setting_that_is_on_or_off_is_a_switch() -> None:
    assert len(_verbs()) > 10
    for verb in _verbs():
        parsers = fire.decorators.GetParseFns(verb)["named"]
        options = inspect.signature(verb).parameters.values()
        wanted = {option.name for option in options if isinstance(option.default, bool)}
        assert wanted == {name for name in wanted if parsers.get(name) is switch}, verb


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "split", "a", "--exclude", "x", "--exclude", "y"], "--exclude is given twice.*commas"),
        (["data", "split", "a", "--exclude=x", "--exclude=y"], "--exclude is given twice"),
        (["predict", "a.nii", "-o", "x", "--output", "y"], "--output is given twice"),
        (["train", "teacher", "--max_epochs", "1", "--max_epochs", "2"], "--max_epochs is given twice"),
        (["predict", "a.nii", "--output"], "--output needs a value"),
        (["predict", "a.nii", "-o", "--fast"], "-o needs a value"),
        (["predict", "a.nii", "--output", "-q"], "--output needs a value"),
        (["predict", "", "-o", "x"], "an argument is empty"),
        (["predict", "a.nii", "-o", ""], "an argument is empty"),
        (["predict", "a.nii", "--output="], "--output is empty"),
    ],
)
def test_what_fire_would_take_without_a_word_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settle_switches(words, Commands())
