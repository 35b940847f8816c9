"""A data loader that prepares the next batches in a thread while the network computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from monai.data import DataLoader

__all__ = ["PrefetchDataLoader"]

AHEAD = 2  # batches held ready
END = object()


class PrefetchDataLoader(DataLoader):
    """Load batches ahead, in one thread, in the order and with the randomness of MONAI's ``DataLoader``.

    A thread shares the GPU and the cached cases with the network, which worker processes cannot. MONAI's own
    ``ThreadDataLoader`` does the same, but when its thread fails, the epoch just ends early, without an error.

    It takes the arguments of MONAI's ``DataLoader``.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # as MONAI's own, a generator
        """Yield the batches of an epoch; what goes wrong in the thread is raised here."""
        batches = super().__iter__()
        # as in PyTorch's own pinning thread: the cores are for the network, and the setting is this thread's alone
        thread = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
        try:
            waiting = deque(thread.submit(next, batches, END) for _ in range(AHEAD))
            while (batch := waiting.popleft().result()) is not END:
                waiting.append(thread.submit(next, batches, END))
                yield batch
        finally:
            thread.shutdown(cancel_futures=True)
