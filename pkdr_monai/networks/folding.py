"""Batch norm folded into the convolution before it: the same function in eval mode, in fewer passes over memory."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batch_norm"]


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
