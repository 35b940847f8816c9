"""What is cached of a case is what MONAI's chain makes of it, rounded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import CastToTyped, Compose, Lambdad, NormalizeIntensityd, Orientationd, RandFlipd, Spacingd

from pkdr_monai.caching import Preparation
from pkdr_monai.caching.preparation import describe, load_fused
from pkdr_monai.data.preprocessing import preprocessing as chain
from pkdr_monai.errors import InputError

from .conftest import SPACING, parsed

Change = Callable[[nib.Nifti1Image], nib.Nifti1Image]


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


def rewritten(item: dict[str, Any], folder: Path, change: Change) -> dict[str, Any]:
    """Write all files of a case again after changing each."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(path: str) -> str:
        nib.save(change(nib.load(path)), folder / Path(path).name)
        return str(folder / Path(path).name)

    return {**item, "image": [write(path) for path in item["image"]], "label": write(item["label"])}


def assert_equal_to(transform: Compose, item: dict[str, Any], arrays: dict[str, np.ndarray] | None) -> None:
    expected = transform(item)
    assert arrays is not None
    assert arrays["image"].dtype == np.float32
    np.testing.assert_allclose(arrays["image"], expected["image"].numpy(), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(arrays["label"], expected["label"].numpy())


def test_a_case_is_that_of_the_chain(items: list[dict[str, Any]], preprocessing: Compose) -> None:
    for item in items:
        assert_equal_to(preprocessing, item, load_fused(item, SPACING))


@pytest.mark.parametrize("codes", ["LPS", "ASR", "IPR", "SLA"])
def test_axes_in_any_order_and_direction_are_turned(
    items: list[dict[str, Any]], preprocessing: Compose, tmp_path: Path, codes: str
) -> None:
    def turn(image: nib.Nifti1Image) -> nib.Nifti1Image:
        here = nib.orientations.io_orientation(image.affine)
        return image.as_reoriented(nib.orientations.ornt_transform(here, nib.orientations.axcodes2ornt(codes)))

    item = rewritten(items[0], tmp_path, turn)
    assert nib.aff2axcodes(nib.load(item["label"]).affine) == tuple(codes)
    assert_equal_to(preprocessing, item, load_fused(item, SPACING))


@pytest.mark.parametrize("kind", ["float32", "scaled", "negative", "box beyond the volume"])
def test_whatever_the_voxels_are_stored_as(
    items: list[dict[str, Any]], preprocessing: Compose, tmp_path: Path, kind: str
) -> None:
    def change(image: nib.Nifti1Image) -> nib.Nifti1Image:
        voxels = np.asarray(image.dataobj)
        if image.get_data_dtype() == np.uint8:  # the label
            return nib.Nifti1Image(voxels[6:] if kind.startswith("box") else voxels, image.affine)
        if kind == "float32":
            return nib.Nifti1Image(voxels.astype(np.float32) * 0.37, image.affine)
        if kind == "negative":
            return nib.Nifti1Image(np.where(voxels > 0, voxels - 150, 0).astype(np.int16), image.affine)
        if kind.startswith("box"):
            return nib.Nifti1Image(voxels[6:] + 1, image.affine)  # the brain fills 34 voxels, so its box has 48
        scaled = nib.Nifti1Image(voxels, image.affine)
        scaled.header.set_slope_inter(0.5, 0)
        return scaled

    item = rewritten(items[0], tmp_path, change)
    assert_equal_to(preprocessing, item, load_fused(item, SPACING))


def test_channels_are_taken_from_a_file_that_holds_them_all(
    items: list[dict[str, Any]], preprocessing: Compose, tmp_path: Path
) -> None:
    images = [nib.load(path) for path in items[0]["image"]]
    stacked = np.stack([np.asarray(image.dataobj) for image in images], axis=-1)
    nib.save(nib.Nifti1Image(stacked, images[0].affine), tmp_path / "all.nii.gz")
    item = {**items[0], "image": str(tmp_path / "all.nii.gz"), "channels": [3, 0]}
    assert_equal_to(preprocessing, item, load_fused(item, SPACING))
    whole = {key: value for key, value in item.items() if key != "channels"}
    assert_equal_to(preprocessing, whole, load_fused(whole, SPACING))


def test_one_modality_and_no_label_are_a_case(items: list[dict[str, Any]], preprocessing: Compose) -> None:
    item = {"image": items[0]["image"][2:3]}
    arrays = load_fused(item, SPACING)
    assert arrays is not None
    assert set(arrays) == {"image"}
    np.testing.assert_allclose(arrays["image"], preprocessing(item)["image"].numpy(), rtol=0, atol=1e-5)


def test_an_empty_modality_stays_empty(items: list[dict[str, Any]], preprocessing: Compose, tmp_path: Path) -> None:
    image = nib.load(items[0]["image"][0])
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), tmp_path / "empty.nii.gz")
    item = {**items[0], "image": [str(tmp_path / "empty.nii.gz"), *items[0]["image"][1:]]}
    assert_equal_to(preprocessing, item, load_fused(item, SPACING))


def _moved(image: nib.Nifti1Image, matrix: np.ndarray) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.asarray(image.dataobj), matrix @ image.affine)


def _rotation() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]]
    return matrix


@pytest.mark.parametrize(
    "change",
    [
        lambda image: _moved(image, np.diag([1.0, 1.0, 0.5, 1.0])),  # anisotropic
        lambda image: _moved(image, _rotation()),  # oblique
        lambda image: nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine),  # nothing in it
    ],
    ids=["anisotropic", "oblique", "empty"],
)
def test_what_needs_resampling_or_judgement_is_left_to_monai(
    items: list[dict[str, Any]], tmp_path: Path, change: Change
) -> None:
    assert load_fused(rewritten(items[0], tmp_path, change), SPACING) is None


def test_another_spacing_is_left_to_monai(items: list[dict[str, Any]]) -> None:
    assert load_fused(items[0], [3.0, 3.0, 3.0]) is None


def test_files_that_do_not_fit_together_are_left_to_monai(items: list[dict[str, Any]], tmp_path: Path) -> None:
    item = items[0]
    turned = tmp_path / "label.nii.gz"
    label = nib.load(item["label"])
    nib.save(label.as_reoriented([[0, -1], [1, 1], [2, 1]]), turned)
    assert load_fused({**item, "label": str(turned)}, SPACING) is None
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj)[1:], label.affine), turned)
    assert load_fused({**item, "label": str(turned)}, SPACING) is None
    assert load_fused({**item, "image": [*item["image"][:3], str(turned)]}, SPACING) is None


def test_a_damaged_file_is_named(items: list[dict[str, Any]], tmp_path: Path) -> None:
    content = Path(items[0]["image"][1]).read_bytes()
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"broken\.nii\.gz cannot be read: .*; copy or download it again\."):
        load_fused({**items[0], "image": [items[0]["image"][0], str(broken)]}, SPACING)


def test_a_header_that_contradicts_itself_is_refused_until_a_geometry_is_chosen(
    items: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The sform says 6 mm, the qform and the voxel size 3 mm."""

    def contradict(image: nib.Nifti1Image) -> nib.Nifti1Image:
        changed = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
        changed.header.set_qform(np.diag([3.0, 3.0, 3.0, 1.0]), code=1)
        changed.header.set_sform(image.affine, code=1)
        return nib.Nifti1Image(np.asarray(image.dataobj), None, changed.header)

    item = rewritten(items[0], tmp_path, contradict)
    with pytest.raises(InputError, match="states two geometries"):
        load_fused(item, SPACING)
    sform, qform = ({**item, "geometry": form} for form in ("sform", "qform"))
    assert_equal_to(chain(SPACING), sform, load_fused(sform, SPACING))
    assert load_fused(qform, SPACING) is None
    assert_equal_to(chain((3.0, 3.0, 3.0)), qform, load_fused(qform, (3.0, 3.0, 3.0)))


def test_a_label_stored_as_float_is_that_of_the_chain(
    items: list[dict[str, Any]], preprocessing: Compose, tmp_path: Path
) -> None:
    label = nib.load(items[0]["label"])
    scaled = np.asarray(label.dataobj).astype(np.float32) * np.float32(0.99999994)  # 4 becomes 3.9999998
    nib.save(nib.Nifti1Image(scaled, label.affine), tmp_path / "seg.nii.gz")
    item = {**items[0], "label": str(tmp_path / "seg.nii.gz")}
    arrays = load_fused(item, SPACING)
    assert arrays is not None
    assert set(np.unique(arrays["label"])) == set(np.unique(np.asarray(label.dataobj)))
    assert_equal_to(preprocessing, item, arrays)


def test_a_case_that_lacks_a_modality_is_left_to_monai(items: list[dict[str, Any]]) -> None:
    item = items[0]
    assert load_fused({**item, "image": item["image"][1:], "channels": [-1, 0, 1, 2]}, SPACING) is None


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
