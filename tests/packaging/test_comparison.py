from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.packaging.comparison import Comparison, compare, open_export

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
    assert found["same"].fault is None
    assert found["off"].max_logit_difference == pytest.approx(0.25)
    reference, shifted = IMAGE >= 0, IMAGE + 0.25 >= 0
    expected = 2 * (reference & shifted).sum() / (reference.sum() + shifted.sum())
    assert found["off"].dice["tc"] == pytest.approx(float(expected), abs=1e-6)
    assert found["empty"].dice == {"tc": 0, "wt": 0, "et": 0}


def test_where_both_segment_nothing_they_agree() -> None:
    def nothing(image: torch.Tensor) -> torch.Tensor:
        return _network(image) - 99

    assert compare(nothing, {"same": nothing}, IMAGE, (16, 16, 16))["same"].dice == {"tc": 1, "wt": 1, "et": 1}


def test_time_is_a_ratio_to_the_network() -> None:
    def slow(image: torch.Tensor) -> torch.Tensor:
        time.sleep(0.02)
        return _network(image)

    def slower(image: torch.Tensor) -> torch.Tensor:
        time.sleep(0.06)
        return _network(image)

    assert 2 < compare(slow, {"slower": slower}, IMAGE, (16, 16, 16))["slower"].time_ratio < 4


@pytest.mark.parametrize(
    ("difference", "dice", "words"),
    [
        (9e-4, 0.9995, None),
        (2e-3, 1.0, "a logit differs by 0.002, more than 0.001"),
        (float("nan"), 1.0, "a logit differs by nan"),
        (0.0, 0.99, "the Dice of its ET with PyTorch's is 0.9900, less than 0.999"),
    ],
)
def test_what_is_beyond_a_bound_is_a_fault(difference: float, dice: float, words: str | None) -> None:
    fault = Comparison(difference, {"tc": 1.0, "wt": 1.0, "et": dice}, 1.0).fault
    assert fault is None if words is None else words in str(fault)


def test_a_file_that_is_no_export_is_refused() -> None:
    with pytest.raises(InputError, match=r"expected model\.ts"):
        open_export(Path("model.pt"))
