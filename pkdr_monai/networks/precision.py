"""Where low precision computes wrong gradients silently, and the refusal of it."""

from __future__ import annotations

import torch
from torch import nn

from pkdr_monai.errors import InputError

__all__ = ["refuse_wrong_gradients"]


def refuse_wrong_gradients(network: nn.Module, x: torch.Tensor, stride: int, kernel_size: int) -> None:
    """Refuse bfloat16 training on the CPU with a bottleneck thinner than the kernel (wrong in oneDNN, torch 2.13).

    Args:
        network: network that is about to run; in eval mode, or without gradients, everything is right.
        x: image, ``(B, M, X, Y, Z)``.
        stride: voxels of X that one voxel of the bottleneck stands for.
        kernel_size: side of the kernel of the bottleneck's convolutions.

    Raises:
        InputError: where the gradients of the convolutions' weights would be wrong.
    """
    low_precision = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    thin = -(-x.shape[2] // stride) < kernel_size
    if low_precision and thin and network.training and torch.is_grad_enabled() and x.device.type == "cpu":
        raise InputError(
            f"training in bfloat16 on the CPU computes wrong gradients for crops whose first side is under "
            f"{stride * (kernel_size - 1) + 1} (here {x.shape[2]}). Train in float32, or take a larger crop."
        )
