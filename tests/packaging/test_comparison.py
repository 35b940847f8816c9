from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pkdr_monai.packaging import checked_exports
from pkdr_monai.packaging.checked_exports import Comparison, compare

IMAGE = torch.randn(1, 1, 24, 16, 16, generator=torch.Generator().manual_seed(0))


def _network(image: torch.Tensor) -> torch.Tensor:
    return torch.cat([image, image - 0.5, image + 0.5], dim=1)


def test_each_export_is_compared_with_the_network() -> None:
    found = compare(
        _network,
        {"same": _network, "off": lambda image: _network(image) + 0.25, "empty": lambda image: _network(image) - 99},
        IMAGE,
        (16, 16, 16),
    )
    assert found["same"].max_logit_difference == 0
    assert found["same"].dice == {"tc": 1, "wt": 1, "et": 1}
    assert found["same"].fault("float32") is None
    assert found["off"].max_logit_difference == pytest.approx(0.25)
    reference, shifted = IMAGE >= 0, IMAGE + 0.25 >= 0
    expected = 2 * (reference & shifted).sum() / (reference.sum() + shifted.sum())
    assert found["off"].dice["tc"] == pytest.approx(float(expected), abs=1e-6)
    assert found["empty"].dice == {"tc": 0, "wt": 0, "et": 0}


def test_where_both_segment_nothing_they_agree() -> None:
    def nothing(image: torch.Tensor) -> torch.Tensor:
        return _network(image) - 99

    assert compare(nothing, {"same": nothing}, IMAGE, (16, 16, 16))["same"].dice == {"tc": 1, "wt": 1, "et": 1}


def test_time_is_a_ratio_to_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def taking(seconds: float) -> Callable[[torch.Tensor], torch.Tensor]:
        def predict(image: torch.Tensor) -> torch.Tensor:
            clock[0] += seconds
            return _network(image)

        return predict

    monkeypatch.setattr(checked_exports.time, "perf_counter", lambda: clock[0])
    found = compare(taking(2.0), {"slower": taking(6.0)}, IMAGE, (16, 16, 16))
    assert found["slower"].time_ratio == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("precision", "difference", "dice", "words"),
    [
        ("float32", 9e-4, 0.9995, None),
        ("float32", 2e-3, 1.0, "a logit differs by 0.002, more than 0.001"),
        ("float32", float("nan"), 1.0, "a logit differs by nan"),
        ("float32", 0.0, 0.99, "the Dice of its ET with PyTorch's is 0.9900, less than 0.999"),
        ("bfloat16", 0.2, 0.996, None),
        ("bfloat16", 0.2, 0.99, "the Dice of its ET with PyTorch's is 0.9900, less than 0.995"),
        ("bfloat16", float("nan"), 1.0, "a logit differs by nan"),
    ],
)
def test_what_is_beyond_a_bound_is_a_fault(precision: str, difference: float, dice: float, words: str | None) -> None:
    fault = Comparison(difference, {"tc": 1.0, "wt": 1.0, "et": dice}, 1.0).fault(precision)
    assert fault is None if words is None else words in str(fault)
