"""Channels, regions and labels, with their metadata; and every modality, however many threads load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, Spacingd
from monai.transforms.traits import ThreadUnsafe

from pkdr_monai.data import find_cases
from pkdr_monai.data.transforms import (
    ETRuled,
    LabelToRegionsd,
    LoadModalitiesd,
    NestedRegionsd,
    RegionsToLabeld,
    SelectChannelsd,
    SteadySpacingd,
)
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES

AFFINE = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))


def _label() -> MetaTensor:
    return MetaTensor(torch.tensor([0.0, 1.0, 2.0, 4.0]).reshape(1, 4, 1, 1), affine=AFFINE)


def test_channels_are_taken_in_the_entrys_order() -> None:
    image = torch.arange(4.0).reshape(4, 1, 1, 1)
    assert SelectChannelsd("image")({"image": image, "channels": [3, 0]})["image"].flatten().tolist() == [3, 0]


def test_an_absent_modality_is_a_channel_of_zeros_and_the_image_stays_as_it_was() -> None:
    image = MetaTensor(torch.arange(1.0, 4.0).reshape(3, 1, 1, 1), affine=AFFINE)
    selected = SelectChannelsd("image")({"image": image, "channels": [0, 1, -1, 2]})["image"]
    assert selected.flatten().tolist() == [1, 2, 0, 3]
    torch.testing.assert_close(selected.affine, AFFINE)
    assert image.flatten().tolist() == [1, 2, 3]


def test_an_entry_without_channels_is_left_alone() -> None:
    image = torch.zeros(2, 1, 1, 1)
    assert SelectChannelsd("image")({"image": image})["image"] is image


@pytest.mark.parametrize(("channels", "kept"), [(4, [2, 3]), (2, [0, 1])])
def test_of_four_sequences_without_names_the_networks_own_are_kept(channels: int, kept: list[int]) -> None:
    image = torch.arange(float(channels)).reshape(channels, 1, 1, 1)
    selected = SelectChannelsd("image", modalities=["t2", "flair"])({"image": image})["image"]
    assert selected.flatten().tolist() == kept


@pytest.mark.parametrize(("channels", "held"), [(1, "holds 1 volume;"), (3, r"holds 3 volumes, numbers 0 to 2;")])
def test_an_image_with_other_channels_than_the_network_sees_is_refused(channels: int, held: str) -> None:
    image = torch.zeros(channels, 1, 1, 1)
    with pytest.raises(InputError, match=f"{held} expected 2, or all of t1, t1ce, t2, flair"):
        SelectChannelsd("image", modalities=["t2", "flair"])({"image": image})


def test_an_entrys_channels_come_before_the_networks() -> None:
    image = torch.arange(4.0).reshape(4, 1, 1, 1)
    assert SelectChannelsd("image", modalities=["t2"])({"image": image, "channels": [0]})["image"].flatten() == 0


def test_regions_and_labels_undo_each_other_and_keep_their_place() -> None:
    regions = LabelToRegionsd("label")({"label": _label()})
    assert regions["label"].shape == (3, 4, 1, 1)
    torch.testing.assert_close(regions["label"].affine, AFFINE)
    label = RegionsToLabeld("label")(regions)["label"]
    assert label.dtype == torch.uint8
    torch.testing.assert_close(label.as_tensor().float(), _label().as_tensor())
    torch.testing.assert_close(label.affine, AFFINE)


def test_an_entrys_own_scheme_wins() -> None:
    entry = {"label": torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1), "scheme": "msd"}
    regions = LabelToRegionsd("label", label_scheme="brats2018")(entry)["label"]
    assert regions[:, :, 0, 0].tolist() == [[0, 1, 1], [1, 1, 1], [0, 0, 1]]


def test_a_label_of_another_scheme_is_refused() -> None:
    with pytest.raises(InputError, match=r"label value 4 is not in scheme 'brats2023'"):
        LabelToRegionsd("label", label_scheme="brats2023")({"label": _label()})


def test_missing_labels_are_allowed_where_it_was_said() -> None:
    assert LabelToRegionsd("label", allow_missing_keys=True)({"image": 1}) == {"image": 1}


def test_a_cache_filled_by_threads_has_every_modality(write_case: Callable[..., Path]) -> None:
    for number in range(12):
        folder = write_case(f"Case_{number:02d}")
    keys = ("image", "label")
    items = [
        {"image": [str(folder / case.modalities[m]) for m in MODALITIES], "label": str(folder / str(case.label))}
        for case in find_cases(folder).cases
    ]
    transform = Compose([LoadModalitiesd(keys), EnsureChannelFirstd(keys)])
    for _ in range(3):
        cached = CacheDataset(items, transform, num_workers=8, progress=False)
        assert {tuple(entry["image"].shape) for entry in cached} == {(4, 8, 9, 7)}


def test_each_thread_has_its_own_reader() -> None:
    """MONAI copies a transform for each thread only where it bears this mark; its own loader does not."""
    assert issubclass(LoadModalitiesd, ThreadUnsafe)
    assert not issubclass(LoadImaged, ThreadUnsafe)


def test_a_case_that_turned_unreadable_is_named_with_what_is_wrong(write_case: Callable[..., Path]) -> None:
    folder = write_case("001")
    path = folder / "001" / "001_t2.nii.gz"
    path.write_bytes(path.read_bytes()[:-100])
    entry = {"case": "001", "image": [str(folder / "001" / "001_t1.nii.gz"), str(path)]}
    with pytest.raises(InputError, match=r"^case 001: .*001_t2\.nii\.gz cannot be read: "):
        LoadModalitiesd("image")(entry)


def test_images_that_cannot_be_stacked_are_named_by_their_case(
    write_case: Callable[..., Path], save_nifti: Callable[..., None]
) -> None:
    folder = write_case("001")
    save_nifti(folder / "001" / "001_t2.nii.gz", torch.zeros(3, 3, 3).numpy())
    files = [str(folder / "001" / f"001_{modality}.nii.gz") for modality in ("t1", "t2")]
    with pytest.raises(InputError, match=r"^case 001: "):
        LoadModalitiesd("image")({"case": "001", "image": files})


@pytest.mark.parametrize("key", ["label", "truth"])
def test_label_stored_as_float_is_whole_before_a_cast_would_truncate_it(tmp_path: Path, key: str) -> None:
    values = np.array([0, 1, 2, 4], np.float32).reshape(4, 1, 1)
    nib.save(nib.Nifti1Image(values * np.float32(0.99999994), np.eye(4)), tmp_path / "a_seg.nii.gz")
    loaded = LoadModalitiesd(key)({key: str(tmp_path / "a_seg.nii.gz")})[key]
    assert loaded.to(torch.uint8).flatten().tolist() == [0, 1, 2, 4]
    assert np.allclose(loaded.affine, np.eye(4))


def test_interpolated_label_is_refused_with_its_case(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.full((2, 2, 2), 0.37, np.float32), np.eye(4)), tmp_path / "a_seg.nii.gz")
    with pytest.raises(InputError, match=r"case ann: the label values are not whole numbers, such as 0.37"):
        LoadModalitiesd("label")({"case": "ann", "label": str(tmp_path / "a_seg.nii.gz")})


def test_nested_regions_are_those_of_the_label_map_that_is_written() -> None:
    regions = (torch.rand(3, 5, 6, 7, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    written = RegionsToLabeld("pred", "brats2023")({"pred": MetaTensor(regions, affine=torch.eye(4) * 2)})
    read = LabelToRegionsd("pred", "brats2023")(written)["pred"]
    nested = NestedRegionsd("pred")({"pred": MetaTensor(regions, affine=torch.eye(4) * 2)})["pred"]
    assert torch.equal(nested.as_tensor(), read.as_tensor())
    assert torch.equal(nested.affine, torch.eye(4, dtype=torch.float64) * 2)
    assert not torch.equal(nested.as_tensor(), regions)


@pytest.mark.parametrize(("et_rule", "kept"), [(24, 2), (24.1, 0)])
def test_the_et_rule_counts_in_mm3_and_leaves_the_regions(et_rule: float, kept: int) -> None:
    regions = torch.ones(3, 4, 4, 4)
    regions[2] = 0
    regions[2, 1, 1, 1:3] = 1
    entry = {"pred": MetaTensor(regions, affine=torch.diag(torch.tensor([-2.0, 2.0, 3.0, 1.0])))}
    ruled = ETRuled("pred", et_rule)(entry)
    assert ruled["pred_et_rule"].shape == (1, 4, 4, 4)
    assert int(ruled["pred_et_rule"].sum()) == kept
    assert torch.equal(ruled["pred"].as_tensor(), regions)
    with pytest.raises(InputError, match="et_rule is a volume"):
        ETRuled("pred", -1)


def _brain(affine: np.ndarray, shape: tuple[int, int, int] = (20, 18, 12)) -> MetaTensor:
    """Return a block of whole numbers within a margin of 0."""
    voxels = torch.zeros(1, *shape)
    voxels[:, 4:-4, 4:-4, 2:-2] = torch.from_numpy(np.random.default_rng(0).integers(1, 900, shape)).float()[
        4:-4, 4:-4, 2:-2
    ]
    return MetaTensor(voxels, affine=torch.as_tensor(affine, dtype=torch.float64))


def _oblique(sizes: tuple[float, float, float] = (2.4, 2.4, 5.0)) -> np.ndarray:
    x, z = np.radians(12), np.radians(7)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(sizes)
    affine[:3, 3] = 7.0, -3.0, 2.0
    return affine


def _steady(volume: MetaTensor, pixdim: tuple[float, float, float] = (2.0, 2.0, 2.0)) -> MetaTensor:
    chain = Compose([Orientationd("image", axcodes="RAS", labels=None), SteadySpacingd("image", pixdim=pixdim)])
    return chain({"image": volume})["image"]


@pytest.mark.parametrize("seed", range(4))
def test_resampling_does_not_hang_on_the_last_digits_of_an_affine(seed: int) -> None:
    """12 slices of 5 mm are 28.5 voxels of 2 mm, and MONAI places the grid by digits where axes are oblique."""
    noise = 1e-5 * np.random.default_rng(seed).uniform(-1, 1, (4, 4))
    noise[3] = 0
    first, second = _steady(_brain(_oblique())), _steady(_brain((_oblique() + noise).astype(np.float32)))
    assert first.shape == second.shape == (1, 24, 21, 28)
    torch.testing.assert_close(first.affine, second.affine, rtol=0, atol=1e-3)
    torch.testing.assert_close(first.as_tensor(), second.as_tensor(), rtol=0, atol=1.0)
    assert torch.equal(first.as_tensor() > 0, second.as_tensor() > 0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("flipped", [(), (0,), (1, 2), (0, 1, 2)])
def test_resampling_does_not_hang_on_the_order_in_which_axes_are_stored(
    order: tuple[int, ...], flipped: tuple[int, ...]
) -> None:
    volume = _brain(_oblique())
    stored, affine = volume.as_tensor(), _oblique()
    turn = np.eye(4)
    for axis in flipped:
        flip = np.eye(4)
        flip[axis, axis], flip[axis, 3] = -1, stored.shape[axis + 1] - 1
        turn = turn @ flip
    stored = stored.flip([axis + 1 for axis in flipped]).permute(0, *(axis + 1 for axis in order))
    affine = affine @ turn @ np.eye(4)[:, [*order, 3]]
    other = _steady(MetaTensor(stored, affine=torch.as_tensor(affine.astype(np.float32), dtype=torch.float64)))
    expected = _steady(volume)
    assert other.shape == expected.shape
    torch.testing.assert_close(other.as_tensor(), expected.as_tensor(), rtol=0, atol=1.0)
    assert torch.equal(other.as_tensor() > 0, expected.as_tensor() > 0)


@pytest.mark.parametrize(("sizes", "pixdim"), [((1.0, 1.0, 1.0), (2.0, 2.0, 2.0)), ((2.4, 1.1, 5.0), (1.0, 1.5, 1.2))])
def test_on_straight_axes_the_grid_is_that_of_monai(sizes: tuple[float, ...], pixdim: tuple[float, ...]) -> None:
    volume = _brain(np.diag([*sizes, 1.0]), (21, 19, 13))
    ours = SteadySpacingd("image", pixdim=pixdim)({"image": volume})["image"]
    theirs = Spacingd("image", pixdim=pixdim)({"image": volume})["image"]
    torch.testing.assert_close(ours.affine, theirs.affine)
    torch.testing.assert_close(ours.as_tensor(), theirs.as_tensor(), rtol=0, atol=1.0)


def test_what_has_the_spacing_stays_and_what_is_resampled_goes_back() -> None:
    volume = _brain(np.eye(4))
    volume[0, 10, 9, 6] = 1e-6
    same = SteadySpacingd("image", pixdim=(1.0, 1.0, 1.0))({"image": volume})["image"]
    assert torch.equal(same.as_tensor(), volume.as_tensor())
    transform = SteadySpacingd(["image", "label"], pixdim=(0.5, 0.5, 0.5), mode=["bilinear", "nearest"])
    fine = transform({"image": volume, "label": (volume > 0).float()})
    assert set(fine["label"].unique().tolist()) == {0.0, 1.0}
    back = transform.inverse(fine)["image"]
    assert back.shape == volume.shape
    torch.testing.assert_close(back.affine, volume.affine)
    torch.testing.assert_close(back.as_tensor(), volume.as_tensor(), rtol=0, atol=1.0)


def test_nothing_is_said_of_dicom_where_nifti_is_read(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    LoadModalitiesd("image")
    assert not recwarn.list
    assert not caplog.records
