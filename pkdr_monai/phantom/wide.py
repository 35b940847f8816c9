"""A stream of synthetic patients of the wide setting for a training: every epoch draws new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch.utils.data import Dataset

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.lattice import ImageGrid
from pkdr_monai.phantom.wide_case import WIDE_SHAPE, WIDE_SPACING, make_wide_case

__all__ = ["WideCases", "make_wide_case"]


class WideCases(Dataset):
    """Synthetic patients that are drawn when they are asked for, in the workers of a data loader.

    A patient depends on ``seed``, the epoch and its index alone, so that a resumed run draws what an uninterrupted one
    would. Register the data set with the trainer through :meth:`attach`, or call :meth:`set_epoch` before each epoch's
    iteration begins. The epoch lies in shared memory: persistent workers see it too.

    Args:
        cases: patients an epoch.
        seed: names the stream, 0 or more.
        shape: size of the images in voxels.
        spacing: size of a voxel in millimetres.
        transform: applied to each item.
        renew: whether each epoch draws new patients; otherwise all have those of epoch 0.

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> patients = WideCases(2, seed=0, shape=(40, 48, 36), spacing=(4.0, 4.0, 4.0))
        >>> patients.set_epoch(3)
        >>> item = patients[1]
        >>> tuple(item["image"].shape), tuple(item["label"].shape), item["image"].dtype
        ((4, 40, 48, 36), (1, 40, 48, 36), torch.float32)
    """

    def __init__(
        self,
        cases: int,
        seed: int = 0,
        shape: Sequence[int] = WIDE_SHAPE,
        spacing: Sequence[float] = WIDE_SPACING,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        renew: bool = True,
    ) -> None:
        if cases < 1 or seed < 0:
            raise InputError(f"expected at least 1 case and a seed of 0 or more, got {cases} and {seed}.")
        ImageGrid(shape, spacing)  # refuses what no case could have
        self.cases = cases
        self.seed = seed
        self.shape = tuple(shape)
        self.spacing = tuple(spacing)
        self.transform = transform
        self.renew = renew
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._orient = Orientation(axcodes="RAS", labels=None)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose patients are drawn from now on, 0 or more."""
        if epoch < 0:
            raise InputError(f"expected an epoch of 0 or more, got {epoch}.")
        self._epoch.fill_(int(epoch))

    def attach(self, engine: Engine) -> None:
        """Register with the trainer, as a handler does: each epoch of it draws its own patients."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda started: self.set_epoch(started.state.epoch))

    def case_seed(self, index: int) -> int:
        """Return the seed of a patient in the present epoch."""
        epoch = int(self._epoch) if self.renew else 0
        return int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1, np.uint64)[0])

    def __len__(self) -> int:
        return self.cases

    def __getitem__(self, index: int) -> Any:
        if not -self.cases <= index < self.cases:
            raise IndexError(f"expected an index below {self.cases}, got {index}.")
        case = make_wide_case(self.case_seed(index % self.cases), self.shape, self.spacing)
        image = np.stack([case.images[modality] for modality in MODALITIES]).astype(np.float32)
        affine = torch.as_tensor(case.affine)
        item = {
            "image": self._orient(MetaTensor(torch.as_tensor(image), affine=affine)),
            "label": self._orient(MetaTensor(torch.as_tensor(case.label[None]), affine=affine)),
        }
        return item if self.transform is None else self.transform(item)
