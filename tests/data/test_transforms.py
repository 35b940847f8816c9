"""Channels, regions and labels, with their metadata; and every modality, however many threads load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import CacheDataset, MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from monai.transforms.traits import ThreadUnsafe

from pkdr_monai.data import find_cases
from pkdr_monai.data.transforms import (
    LabelToRegionsd,
    LoadModalitiesd,
    NestedRegionsd,
    RegionsToLabeld,
    SelectChannelsd,
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
