"""Batch norm folded into the convolution before it: the same function in eval mode, in fewer passes over memory."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batch_norm", "inference_copy"]


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Replace, in place, each convolution and the batch norm right behind it in a ``Sequential`` by one convolution.

    Args:
        network: network in eval mode.

    Returns:
        ``network``, equal to what it was up to rounding, for inference only.

    Raises:
        ValueError: when the network is in training mode, where a batch norm is no fixed scale and shift.

    Example:
        >>> layers = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.ReLU()).eval()
        >>> [type(layer).__name__ for layer in fold_batch_norm(layers)]
        ['Conv3d', 'Identity', 'ReLU']
    """
    if network.training:
        raise ValueError("batch norm can be folded in eval mode only: call network.eval() first.")
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index in range(len(sequence) - 1):
            convolution, norm = sequence[index], sequence[index + 1]
            if isinstance(norm, nn.BatchNorm3d) and isinstance(convolution, nn.Conv3d | nn.ConvTranspose3d):
                transpose = isinstance(convolution, nn.ConvTranspose3d)
                sequence[index] = fuse_conv_bn_eval(convolution, norm, transpose=transpose)
                sequence[index + 1] = nn.Identity()
    return network


def inference_copy(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return a frozen copy of a network that computes the same faster: batch norm folded, channels last, in ``dtype``.

    Its input has to be in ``dtype`` and channels last too.

    Args:
        network: any network; it stays as it is.
        dtype: floating-point type of weights and activations.

    Example:
        >>> layers = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))
        >>> inference_copy(layers, torch.bfloat16)(torch.zeros(1, 1, 3, 3, 3, dtype=torch.bfloat16)).dtype
        torch.bfloat16
    """
    folded = fold_batch_norm(copy.deepcopy(network).eval())
    return folded.requires_grad_(False).to(dtype).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
