from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from pkdr_monai.errors import InputError
from pkdr_monai.overrides import check_overrides

ROOT = Path(__file__).resolve().parents[1]
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
    check_overrides(CONFIG, [key])


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
        check_overrides(CONFIG, ["max_epochs", key])
    assert answer in str(caught.value)
