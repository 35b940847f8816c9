from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses.inputs import at_least_float32, check_positive, check_same_shape, full_precision, plain


def test_a_plain_tensor_passes_untouched() -> None:
    tensor = torch.ones(3)
    assert plain(tensor) is tensor


def test_a_meta_tensor_loses_its_class_and_keeps_its_gradient() -> None:
    leaf = torch.ones(3, requires_grad=True)
    converted = plain(MetaTensor(leaf * 2))
    assert type(converted) is torch.Tensor
    converted.sum().backward()
    assert torch.equal(leaf.grad, torch.full((3,), 2.0))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision_rises_to_float32_and_never_falls(dtype: torch.dtype, expected: torch.dtype) -> None:
    assert at_least_float32(torch.ones(1, dtype=dtype)).dtype == expected


def test_full_precision_keeps_autocast_away() -> None:
    ones = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16), full_precision(ones):
        assert (ones @ ones).dtype == torch.float32


def test_full_precision_does_nothing_where_autocast_is_unknown() -> None:
    with full_precision(torch.ones(1, device="meta")):
        assert torch.ones(1).item() == 1


def test_shapes_that_differ_are_refused_with_both_shapes_and_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"MyLoss expects a and b of one shape.*\(2, 3\).*\(2, 1\)\. Repair it\."):
        check_same_shape("MyLoss", "Repair it.", a=torch.ones(2, 3), b=torch.ones(2, 1))


@pytest.mark.parametrize("number", [0.0, -1.0, float("nan"), float("inf")])
def test_a_number_that_is_not_positive_and_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="MyLoss expects temperature to be a finite number above 0"):
        check_positive("MyLoss", temperature=number)
