from functools import cache

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, CropForegroundd, NormalizeIntensityd

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.wide import WideCases

SHAPE, SPACING = (48, 56, 40), (4.0, 4.0, 4.0)


@cache
def stream(**settings) -> WideCases:
    return WideCases(3, seed=5, shape=SHAPE, spacing=SPACING, **settings)


def drawn(loader: DataLoader, epoch: int) -> list[torch.Tensor]:
    loader.dataset.set_epoch(epoch)
    return [batch["image"].as_tensor() for batch in loader]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_an_item_is_a_float_image_of_four_modalities_and_its_label_both_in_ras():
    item = stream()[0]
    assert isinstance(item["image"], MetaTensor)
    assert item["image"].shape == (4, *SHAPE)
    assert item["label"].shape == (1, *SHAPE)
    assert item["image"].dtype == torch.float32
    assert item["label"].dtype == torch.uint8
    assert (torch.diagonal(item["image"].affine)[:3] > 0).all()


def test_the_preprocessings_tail_takes_an_item():
    tail = Compose(
        [
            CropForegroundd(["image", "label"], source_key="image", k_divisible=16, allow_smaller=True),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
        ]
    )
    item = WideCases(1, seed=1, shape=SHAPE, spacing=SPACING, transform=tail)[0]
    assert all(side % 16 == 0 for side in item["image"].shape[1:])
    for channel in item["image"]:
        assert abs(float(channel[channel != 0].mean())) < 0.05


@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, False), (2, True)])
def test_each_epoch_draws_other_patients_and_a_resumed_run_draws_the_same(workers, persistent):
    loader = DataLoader(stream(), num_workers=workers, persistent_workers=persistent)
    first, second, again = drawn(loader, 1), drawn(loader, 2), drawn(loader, 1)
    assert same(first, again)
    assert not same(first, second)
    fresh = DataLoader(WideCases(3, seed=5, shape=SHAPE, spacing=SPACING))
    assert same(drawn(fresh, 2), second)


@pytest.mark.parametrize("persistent", [False, True])
def test_attached_to_a_trainer_it_draws_the_epoch_that_runs(persistent):
    patients = WideCases(2, seed=3, shape=SHAPE, spacing=SPACING)
    loader = DataLoader(patients, num_workers=1, persistent_workers=persistent)
    seen: dict[int, list[torch.Tensor]] = {}
    engine = Engine(lambda engine, batch: seen.setdefault(engine.state.epoch, []).append(batch["image"].as_tensor()))
    patients.attach(engine)
    engine.run(loader, max_epochs=3)
    check = DataLoader(WideCases(2, seed=3, shape=SHAPE, spacing=SPACING))
    for epoch in (1, 2, 3):
        assert same(drawn(check, epoch), seen[epoch])


def test_without_renewal_all_epochs_have_the_same_patients():
    patients = WideCases(2, seed=3, shape=SHAPE, spacing=SPACING, renew=False)
    before = patients.case_seed(1)
    patients.set_epoch(4)
    assert patients.case_seed(1) == before


def test_another_seed_is_another_stream():
    seeds = {WideCases(9, seed, SHAPE, SPACING).case_seed(index) for seed in (0, 1) for index in range(9)}
    assert len(seeds) == 18


@pytest.mark.parametrize("settings", [{"cases": 0}, {"cases": 1, "seed": -1}, {"cases": 1, "shape": (8, 8, 8)}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match="expected"):
        WideCases(**settings)


def test_an_index_out_of_range_ends_an_iteration():
    with pytest.raises(IndexError):
        stream()[3]
    assert np.array_equal(stream()[-1]["label"], stream()[2]["label"])
