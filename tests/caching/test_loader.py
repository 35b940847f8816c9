"""Batches come ahead of time, in the order of MONAI's loader, and with its errors."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from monai.data import DataLoader, Dataset

from pkdr_monai.caching import PrefetchDataLoader


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
