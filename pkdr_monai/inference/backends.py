"""What computes a network: one callable from image to logits, behind which PyTorch can be replaced."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from pkdr_monai.networks import inference_copy

__all__ = ["Backend", "TorchBackend", "resolve_precision"]

PROBES = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of torch.cpu; older versions lack some


class Backend(Protocol):
    """A network that is ready to run.

    It takes a normalised image, float32, ``(1, M, X, Y, Z)`` with sides that 16 divides, on the device of its choice,
    and returns the logits of TC, WT and ET, float32, ``(1, 3, X, Y, Z)``, where the image was.
    """

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""


class TorchBackend:
    """A network in PyTorch: batch norm folded, channels last, in bfloat16 where that is fast.

    Args:
        network: the network, with its weights; it stays as it is.
        precision: ``"float32"``, ``"bfloat16"`` or ``"auto"``; see :func:`resolve_precision`.
        device: where to compute.

    Example:
        >>> from pkdr_monai.networks import PatchVNet
        >>> backend = TorchBackend(PatchVNet(1, init_filters=2), "float32")
        >>> tuple(backend(torch.zeros(1, 1, 16, 16, 16)).shape)
        (1, 3, 16, 16, 16)
    """

    def __init__(self, network: nn.Module, precision: str = "auto", device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.precision = resolve_precision(precision, self.device)
        self._dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32
        self._network = inference_copy(network, self._dtype).to(self.device)

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        moved = image.to(self.device, self._dtype, memory_format=torch.channels_last_3d)
        return self._network(moved).to(image.device, torch.float32, memory_format=torch.contiguous_format)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return ``"bfloat16"`` or ``"float32"`` for ``"auto"``: the former where the processor itself computes in it.

    Elsewhere bfloat16 would be emulated, and slower than float32.

    Example:
        >>> resolve_precision("float32", torch.device("cpu"))
        'float32'
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(getattr(torch.cpu, probe)() for probe in PROBES if hasattr(torch.cpu, probe))
    return "bfloat16" if native else "float32"
