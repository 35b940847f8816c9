"""What is cached of a case is what the transforms make of it, rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.transforms import Compose, RandFlipd

from pkdr_monai.caching import Preparation
from pkdr_monai.errors import InputError

from .conftest import SPACING, parsed


def test_a_case_is_the_chains_rounded_to_float16(preparation: Preparation, items: list[dict[str, Any]]) -> None:
    assert preparation.fused_spacing == tuple(SPACING)
    arrays, expected = preparation(items[0]), preparation.transform(items[0])
    assert {name: array.dtype for name, array in arrays.items()} == {"image": np.float16, "label": np.uint8}
    np.testing.assert_allclose(arrays["image"], expected["image"].numpy(), rtol=2**-11, atol=1e-5)
    np.testing.assert_array_equal(arrays["label"], expected["label"].numpy())


def test_where_there_is_resampling_the_transforms_do_the_work(items: list[dict[str, Any]]) -> None:
    preparation = Preparation(parsed("preprocessing", spacing=[7.0, 7.0, 9.0]))
    arrays, expected = preparation(items[0]), preparation.transform(items[0])
    np.testing.assert_array_equal(arrays["image"], expected["image"].numpy().astype(np.float16))
    np.testing.assert_array_equal(arrays["label"], expected["label"].numpy())


def test_other_transforms_are_never_replaced(items: list[dict[str, Any]]) -> None:
    own = parsed("preprocessing")
    for others in (
        Compose(own.transforms[:-1]),
        parsed("preprocessing", **{"preprocessing#transforms#6#nonzero": False}),
    ):
        preparation = Preparation(others)
        assert preparation.fused_spacing is None
        expected = others(items[0])["image"].numpy().astype(np.float16)
        np.testing.assert_array_equal(preparation(items[0])["image"], expected)


def test_settings_tell_spacings_apart() -> None:
    one, same, other = (Preparation(parsed("preprocessing", spacing=[6.0, 6.0, z])) for z in (6.0, 6.0, 6.1))
    assert one.settings == same.settings != other.settings


def test_chance_is_refused(preprocessing: Compose) -> None:
    with pytest.raises(InputError, match=r"RandFlipd, which is random.*Move it to augmentation"):
        Preparation(Compose([*preprocessing.transforms, RandFlipd("image")]))


def test_values_beyond_float16_are_refused(items: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    preparation = Preparation(parsed("preprocessing"))
    monkeypatch.setattr(
        "pkdr_monai.caching.preparation.load_fused",
        lambda item, spacing: {"image": np.full((1, 2, 2, 2), -70000.0, np.float32)},
    )
    with pytest.raises(InputError, match=r"case Phantom18_0000_1: float16.*values of up to 70000"):
        preparation(items[0])


def test_a_broken_file_is_named(preparation: Preparation, items: list[dict[str, Any]], tmp_path: Path) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.nii\.gz"):
        preparation({**items[0], "label": str(broken)})
