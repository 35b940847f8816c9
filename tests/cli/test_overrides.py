from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pkdr_monai.cli.overrides import check_overrides
from pkdr_monai.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ConfigParser.load_config_file(str(ROOT / "bundle" / "configs" / "train.json"))


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
