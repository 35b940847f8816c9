"""What may be chosen is checked before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.inference.settings import Settings


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"use": "worst"}, "choose among best, all"),
        ({"blend": "mean"}, "choose among constant, gaussian"),
        ({"precision": "int8"}, "choose among auto, float32, bfloat16"),
        ({"backend": "tensorrt"}, "choose among auto, torch, onnx, openvino"),
        ({"window_overlap": 1.0}, "below 1, got 1"),
        ({"window_overlap": float("nan")}, "below 1, got nan"),
        ({"min_component": -1.0}, "0 or more, got -1"),
        ({"et_rule": -1.0}, "0 or more, got -1"),
        ({"label_scheme": "brats"}, "unknown label_scheme 'brats'"),
    ],
)
def test_a_value_out_of_range_is_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Settings(**values)


def test_nothing_is_removed_or_forced_unless_somebody_says_so() -> None:
    settings = Settings()
    assert settings.min_component == 0
    assert (settings.force, settings.fast, settings.flips) == (False, False, False)
    assert settings.as_dict()["use"] == "best"


def test_the_et_rule_is_in_the_record_only_where_it_is_on_so_that_keys_of_cases_stay() -> None:
    assert "et_rule" not in Settings().as_dict()
    assert Settings(et_rule=500).as_dict() == {**Settings().as_dict(), "et_rule": 500}
