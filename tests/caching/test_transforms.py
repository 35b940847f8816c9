"""Crops of cached cases are those of train.json's augmentation, number for number, and come ahead of time."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import Compose, RandFlipd, RandRotate90d

from pkdr_monai.caching import CropCachedd, LoadCachedd, PrefetchDataLoader, Preparation, cache_cases, reading_crops
from pkdr_monai.errors import InputError

from .conftest import parsed

ROIS = [(16, 16, 16), (32, 16, 24), (64, 16, 40)]  # the last one larger than the brain on two axes


def _uncached(items: list[dict[str, Any]], roi_size: tuple[int, ...]) -> CacheDataset:
    transforms = [*parsed("preprocessing").transforms, *parsed("augmentation", roi_size=roi_size).transforms]
    return CacheDataset(items, Compose(transforms), progress=False)


@pytest.mark.parametrize("roi_size", ROIS)
@pytest.mark.parametrize("storage", ["memory", "disk", "device"])
def test_a_seed_gives_the_crops_of_the_uncached_run(
    items: list[dict[str, Any]], preparation: Preparation, tmp_path: Path, storage: str, roi_size: tuple[int, ...]
) -> None:
    if storage == "disk":
        pytest.importorskip("blosc2")
    cases = cache_cases(items, preparation, storage, tmp_path)
    cached = Dataset(cases, Compose(reading_crops(parsed("augmentation", roi_size=roi_size))))
    uncached = _uncached(items, roi_size)
    for seed in range(3):
        for dataset in (cached, uncached):
            dataset.transform.set_random_state(seed)
        for number in (0, 2, 1, 0):
            one, other = cached[number], uncached[number]
            assert one["image"].shape[1:] == roi_size
            assert {key: one[key].dtype for key in ("image", "label")} == dict.fromkeys(
                ("image", "label"), torch.float32
            )
            torch.testing.assert_close(one["image"], other["image"], rtol=2**-10, atol=1e-5)
            torch.testing.assert_close(one["label"], other["label"], rtol=0, atol=0)


def test_worker_processes_are_seeded_as_without_a_cache(
    items: list[dict[str, Any]], preparation: Preparation, tmp_path: Path
) -> None:
    pytest.importorskip("blosc2")
    cached = Dataset(
        cache_cases(items, preparation, "disk", tmp_path),
        Compose(reading_crops(parsed("augmentation", roi_size=ROIS[0]))),
    )
    batches = []
    for dataset in (cached, _uncached(items, ROIS[0])):
        torch.manual_seed(4)
        batches.append(next(iter(DataLoader(dataset, batch_size=3, num_workers=1)))["image"])
    torch.testing.assert_close(*batches, rtol=2**-10, atol=1e-5)


def test_every_array_is_cropped_at_one_place() -> None:
    place = torch.arange(40 * 32 * 24, dtype=torch.int32).reshape(1, 40, 32, 24)
    crop = CropCachedd(("image", "teacher"), roi_size=(16, 16, 16))
    case = crop({"image": place, "teacher": torch.cat([place, place]), "case": "a"})
    assert case["teacher"].shape == (2, 16, 16, 16)
    assert all(torch.equal(channel, case["image"][0]) for channel in case["teacher"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.uint8])
def test_what_is_cached_survives_what_is_done_to_a_crop(dtype: torch.dtype) -> None:
    kept = {"image": torch.zeros(1, 4, 4, 4, dtype=dtype)}
    for transform in (CropCachedd("image", (4, 4, 4)), LoadCachedd("image")):
        transform(kept)["image"].add_(1)
    assert not kept["image"].any()


def test_a_whole_case_is_read_with_what_belongs_to_it(items: list[dict[str, Any]], preparation: Preparation) -> None:
    (case,) = cache_cases(items[:1], preparation)
    loaded = LoadCachedd(("image", "label"))(case)
    assert loaded["scheme"] == "brats2018"
    assert loaded["image"].dtype == torch.float32
    torch.testing.assert_close(loaded["image"], torch.from_numpy(preparation(items[0])["image"]).float())
    assert LoadCachedd("label", allow_missing_keys=True)({"case": "a"}) == {"case": "a"}


def test_what_follows_the_crop_is_kept() -> None:
    augmentation = parsed("augmentation")
    transforms = reading_crops(augmentation)
    assert isinstance(transforms[0], CropCachedd)
    assert transforms[1:] == list(augmentation.transforms[3:])


def test_an_augmentation_that_begins_otherwise_is_refused() -> None:
    with pytest.raises(InputError, match=r"begins with RandFlipd: .*RandSpatialCropd of the same size"):
        reading_crops(Compose([RandFlipd("image")]))
    for change in (
        {"augmentation#transforms#1#spatial_size": [8, 8, 8]},
        {"augmentation#transforms#2#random_size": True},
        {"augmentation#transforms#1#mode": "reflect"},
    ):
        with pytest.raises(InputError, match="begins with CastToTyped, SpatialPadd, RandSpatialCropd: "):
            reading_crops(parsed("augmentation", **change))


def test_worker_processes_cannot_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    with pytest.raises(InputError, match="num_workers must be 0"):
        LoadCachedd("image", device="cuda")({"image": torch.zeros(1, 2, 2, 2)})


def test_the_teachers_outputs_are_cut_where_the_image_is(items: list[dict[str, Any]], preparation: Preparation) -> None:
    """Each cached output names its place, so that a crop or a flip that went elsewhere would show."""
    (case,) = cache_cases(items[:1], preparation)
    sides = case["image"].shape[1:]
    place = torch.arange(torch.tensor(sides).prod()).reshape(1, *sides)
    case["image"][:] = place.remainder(251)
    case["teacher_soft_target"] = place.remainder(251).to(torch.uint8)
    patches = [side // 16 for side in sides]
    blocks = torch.arange(torch.tensor(patches).prod(), dtype=torch.float16).reshape(1, *patches)
    case["teacher_patch_logits"], case["teacher_embedding"] = blocks, blocks.clone()
    case["label"][:] = 0
    augmentation = parsed("augmentation", roi_size=(32, 16, 48))
    transforms = [each for each in reading_crops(augmentation, teacher=True) if "Intensity" not in type(each).__name__]
    transform = Compose(transforms)
    seen = set()
    for seed in range(12):
        transform.set_random_state(seed)
        crop = transform(case)
        assert crop["image"].shape == (4, 32, 16, 48)
        torch.testing.assert_close(crop["image"][:1], crop["teacher_soft_target"].float(), rtol=0, atol=0)
        assert crop["teacher_embedding"].shape == (1, 2, 1, 3)
        torch.testing.assert_close(crop["teacher_patch_logits"], crop["teacher_embedding"], rtol=0, atol=0)
        inside = crop["image"][0] != 0
        for block, patch in _blocks(crop["teacher_embedding"][0], place[0], blocks[0]):
            found = crop["image"][0][block]
            if bool(inside[block].any()):
                assert set(found.unique().tolist()) <= set(patch.remainder(251).unique().tolist()) | {0.0}
        seen.add(float(crop["image"].sum()))
    assert len(seen) > 1


def _blocks(found: torch.Tensor, place: torch.Tensor, blocks: torch.Tensor) -> Any:
    """Return, for each patch of a crop, where it is, and the places that a patch of its number has in the case."""
    for corner in torch.cartesian_prod(*(torch.arange(side) for side in found.shape)).tolist():
        number = (blocks == found[tuple(corner)]).nonzero()[0].tolist()
        block = tuple(slice(16 * at, 16 * at + 16) for at in corner)
        yield block, place[tuple(slice(16 * at, 16 * at + 16) for at in number)]


def test_a_crop_of_broken_patches_and_a_transform_that_moves_the_image_alone_are_refused() -> None:
    with pytest.raises(InputError, match="does not consist of whole patches"):
        reading_crops(parsed("augmentation", roi_size=(32, 24, 32)), teacher=True)
    augmentation = parsed("augmentation", roi_size=(32, 32, 32))
    moving = Compose([*augmentation.transforms, RandRotate90d("image")])
    with pytest.raises(InputError, match="RandRotate90d, which may move the image away"):
        reading_crops(moving, teacher=True)


def test_the_batches_are_those_of_monais_loader() -> None:
    dataset = Dataset(list(range(11)))
    epochs = []
    for kind in (DataLoader, PrefetchDataLoader):
        torch.manual_seed(0)
        loader = kind(dataset, batch_size=3, shuffle=True)
        assert len(loader) == 4
        epochs.append([[batch.tolist() for batch in loader] for _ in range(2)])
    assert epochs[0] == epochs[1]
    assert epochs[0][0] != epochs[0][1]


def test_the_next_batches_are_made_meanwhile() -> None:
    made: list[int] = []
    batches = iter(PrefetchDataLoader(Dataset(list(range(9)), lambda number: made.append(number) or number)))
    next(batches)
    deadline = time.monotonic() + 10
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert made == [0, 1, 2]  # two ahead, and no more than two


def test_the_thread_takes_one_core_and_leaves_the_network_its_own() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inside = [int(batch) for batch in PrefetchDataLoader(Dataset([0], lambda number: torch.get_num_threads()))]
        assert (inside, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def test_an_error_of_the_thread_is_raised() -> None:
    def fail_at_4(number: int) -> int:
        if number == 4:
            raise KeyError(number)
        return number

    seen = []
    with pytest.raises(Exception, match="4"):  # noqa: PT012
        for batch in PrefetchDataLoader(Dataset(list(range(9)), fail_at_4)):
            seen.append(int(batch))
    assert seen == [0, 1, 2, 3]


def test_an_epoch_that_is_broken_off_leaves_no_thread() -> None:
    before = threading.active_count()
    batches = iter(PrefetchDataLoader(Dataset(list(range(9)))))
    next(batches)
    batches.close()
    assert threading.active_count() == before
