"""Predictions and truths as folders of small label maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import AFFINE, save

TISSUES = {"brats2018": (1, 2, 4), "brats2023": (1, 2, 3), "msd": (2, 1, 3)}  # NCR, ED, ET


def random_label(seed: int, label_scheme: str = "brats2018", shape: tuple[int, int, int] = (12, 11, 10)) -> np.ndarray:
    """Return a ragged tumour of all three tissues around a place that the seed chooses."""
    random = np.random.default_rng(seed)
    centre = random.uniform(4, 7, 3)
    away = np.linalg.norm(np.moveaxis(np.indices(shape), 0, -1) - centre, axis=-1) + random.uniform(-0.7, 0.7, shape)
    ncr, ed, et = TISSUES[label_scheme]
    return np.select([away < 1.4, away < 2.4, away < 4], [ncr, et, ed], 0).astype(np.uint8)


@pytest.fixture
def write_labels(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes label maps by file name below ``tmp_path``, and returns their folder."""

    def write(folder: str, labels: dict[str, np.ndarray], affine: np.ndarray = AFFINE) -> Path:
        for name, label in labels.items():
            save(tmp_path / folder / name, label, affine)
        return tmp_path / folder

    return write
