"""Two transforms are described alike when they do the same, and only then."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from monai.transforms import CastToTyped, Compose, Lambdad, NormalizeIntensityd, Orientationd, RandFlipd, Spacingd

from pkdr_monai.caching.preparation import describe
from pkdr_monai.errors import InputError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Spacingd("image", pixdim=(1, 1, 1)), Spacingd("image", pixdim=(1, 1, 2))),
        (Spacingd("image", pixdim=(1, 1, 1)), Spacingd("image", pixdim=(1, 1, 1), mode="nearest")),
        (Orientationd("image", "RAS", labels=None), Orientationd("image", "LPS", labels=None)),
        (CastToTyped("label", torch.uint8), CastToTyped("label", torch.int16)),
        (NormalizeIntensityd("image"), NormalizeIntensityd("image", nonzero=True)),
        (NormalizeIntensityd("image"), NormalizeIntensityd("label")),
        (NormalizeIntensityd("image"), Compose([NormalizeIntensityd("image")])),
    ],
)
def test_another_setting_is_another_description(one: Any, other: Any) -> None:
    assert describe(one) != describe(other)


def test_what_chance_left_in_a_transform_does_not_count() -> None:
    one, other = RandFlipd("image", prob=0.5), RandFlipd("image", prob=0.5)
    other.set_random_state(3)
    assert describe(one)["flipper"] == describe(other)["flipper"]
    assert "R" not in describe(one)


def test_use_does_not_change_a_description(preprocessing: Compose, items: list[dict[str, Any]]) -> None:
    before = json.dumps(describe(preprocessing), sort_keys=True)
    preprocessing(items[0])
    assert json.dumps(describe(preprocessing), sort_keys=True) == before


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(InputError, match=r"lambda.*define a function"):
        describe(Lambdad("image", func=lambda image: image + 1))
    with pytest.raises(InputError, match="cannot be cached"):
        describe(object())
