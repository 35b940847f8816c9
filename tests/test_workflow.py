"""Configs are found, run by MONAI's own line, and overridden by known keys alone."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pkdr_monai.errors import InputError
from pkdr_monai.workflow import check_overrides, command_line, find_configs, load_configs

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ConfigParser.load_config_file(str(ROOT / "bundle" / "configs" / "train.json"))


def test_line_gives_a_shell_back_what_went_in() -> None:
    options = {"modality": "t1+flair", "roi_size": [64, 64, 64], "output_dir": "my runs/a"}
    words = shlex.split(command_line("training", [Path("a.json"), Path("b.yaml")], options))
    assert words[:7] == ["python", "-m", "monai.bundle", "run", "training", "--config_file", "['a.json','b.yaml']"]
    assert words[7:] == ["--modality", "t1+flair", "--roi_size", "[64, 64, 64]", "--output_dir", "my runs/a"]


def test_configs_at_hand_go_before_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_configs() == ROOT / "bundle" / "configs"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.json").touch()
    assert find_configs() == Path("configs")


def test_without_a_bundle_anywhere_it_says_what_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pkdr_monai.workflow.__file__", str(tmp_path / "site" / "pkdr_monai" / "workflow.py"))
    with pytest.raises(InputError, match="no bundle here: expected"):
        find_configs()


def test_later_configs_go_before_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": 1, "y": {"z": 2}}')
    (tmp_path / "b.yaml").write_text("y#z: 3")
    assert load_configs([tmp_path / "a.json", tmp_path / "b.yaml"]) == {"x": 1, "y": {"z": 3}}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("b.json", "{", "is not valid JSON or YAML"),
        ("b.yaml", "a: [", "is not valid JSON or YAML"),
        ("b.yaml", "- 1", "is no config"),
        ("b.yaml", "1: 2", "is no config"),
        ("b.txt", "a: 1", "is not valid JSON or YAML"),
        ("b.yaml", "x#0: 1", "do not go together"),
        ("b.yaml", None, "no config file"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, name: str, text: str | None, sentence: str) -> None:
    (tmp_path / "a.json").write_text('{"x": 1}')
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"{sentence}"):
        load_configs([tmp_path / "a.json", tmp_path / name])


@pytest.mark.parametrize(
    "key",
    [
        "max_epochs",
        "loss#beta",
        "loss#pixel_kd",  # no key of the config, but an argument of PKDRLoss
        "validate#inferer#overlap",
        "validate#inferer#mode",
        "optimizer#betas",
        "preprocessing#transforms#0#keys",
    ],
)
def test_key_that_changes_something_is_taken(key: str) -> None:
    check_overrides(CONFIG, {key: "$1"})


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("epochs", "unknown key 'epochs'; did you mean 'max_epochs'?"),
        ("epcohs", "unknown key 'epcohs'; did you mean 'max_epochs'?"),
        ("loss#betta", "unknown key 'loss#betta'; did you mean 'loss#beta'?"),
        ("los#beta", "unknown key 'los#beta'; did you mean 'loss'?"),
        ("validate#inferer#overlp", "did you mean 'validate#inferer#overlap'?"),
        ("max_epochs#now", "unknown key 'max_epochs#now': max_epochs holds no other keys."),
        ("loss#zzz", "unknown key 'loss#zzz': expected one of loss#_target_, loss#alpha,"),
        ("preprocessing#transforms#99", "unknown key 'preprocessing#transforms#99'"),
    ],
)
def test_key_that_changes_nothing_is_refused_with_the_nearest(key: str, answer: str) -> None:
    with pytest.raises(InputError) as caught:
        check_overrides(CONFIG, {"max_epochs": 4, key: "$1"})
    assert answer in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_epochs", 3),
        ("max_epochs", "$2 * 3"),
        ("learning_rate", 1),
        ("resume", "true"),
        ("resume", True),
        ("roi_size", (64, 64, 64)),
        ("teacher_dtype", "bfloat16"),
        ("modality", ["t1", "flair"]),
        ("amp", False),
    ],
)
def test_value_of_the_kind_of_the_one_that_it_replaces_is_taken(key: str, value: object) -> None:
    check_overrides(CONFIG, {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_epochs", "ten"),
        ("max_epochs", 1.5),
        ("max_epochs", True),
        ("learning_rate", "1e-4x"),
        ("learning_rate", None),
        ("resume", "perhaps"),
        ("roi_size", [64, 64]),
        ("roi_size", 64),
        ("roi_size", ["a", "b", "c"]),
        ("loss#beta", "half"),
    ],
)
def test_value_of_another_kind_is_refused_with_an_example(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"expected {key} to be of the kind of .*, got "):
        check_overrides(CONFIG, {key: value})
