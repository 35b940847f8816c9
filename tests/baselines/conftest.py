"""Small tumours and predictions, and the elementary functions that the oracles are made of."""

from __future__ import annotations

import math

import torch

Prediction = dict[str, dict[str, torch.Tensor]]


def regions(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Nested regions TC, WT, ET of random classes, ``(B, 3, X, Y, Z)``, float64."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 4, shape, generator=generator)  # background, NCR, ED, ET
    return torch.stack([(classes == 1) | (classes == 3), classes > 0, classes == 3], 1).double()


def random_prediction(
    shapes: dict[str, tuple[int, ...]], dtype: torch.dtype = torch.float64, scale: float = 2.0
) -> Prediction:
    """The same tensors, other values, for both networks; all are leaves that ask for a gradient."""
    generator = torch.Generator().manual_seed(1)
    return {
        network: {
            name: (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
            for name, shape in shapes.items()
        }
        for network in ("student", "teacher")
    }


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def softmax(values: list[float]) -> list[float]:
    exponentials = [math.exp(value - max(values)) for value in values]
    return [value / sum(exponentials) for value in exponentials]
