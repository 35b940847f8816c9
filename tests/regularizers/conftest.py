"""A small network with a head in the Distiller, as training runs it."""

from __future__ import annotations

import pytest
import torch

SIZE = (32, 16, 32)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 4, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def label() -> torch.Tensor:
    """Three regions within each other in the first crop, none in the second."""
    label = torch.zeros(2, 3, *SIZE)
    label[0, 0, 4:12, 3:12, 8:20] = 1
    label[0, 1, 2:15, 2:14, 5:25] = 1
    label[0, 2, 6:8, 5:7, 10:12] = 1
    return label
