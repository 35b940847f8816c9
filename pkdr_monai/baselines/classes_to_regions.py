"""A network of four classes behind the contract of three regions."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["ClassesToRegions"]


class ClassesToRegions(nn.Module):
    r"""Let a network that was trained with a softmax over four classes be deployed as one of three region sigmoids.

    A region holds several classes, so its probability is the sum of theirs, and its logit the difference of two sums
    of exponentials in the logarithm:

    .. math::
        z_{region} = \log \sum_{c \in region} e^{z_c} - \log \sum_{c \notin region} e^{z_c}, \qquad
        \sigma(z_{region}) = \sum_{c \in region} \mathrm{softmax}(z)_c

    Evaluation, inference and export then take it as any other network. Regions where this exceeds 0.5 are not quite
    those of the likeliest class: three tumour classes at 0.2 each outweigh a background of 0.4, whose argmax is
    background.

    Training reads :meth:`features`, in which ``logits`` are the four classes.

    Args:
        network: network whose output channels are :data:`~pkdr_monai.baselines.softmax.CLASSES`.

    Example:
        >>> from pkdr_monai.networks import PatchVNet
        >>> network = ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2)).eval()
        >>> image = torch.zeros(1, 1, 16, 16, 16)
        >>> tuple(network(image).shape), tuple(network.features(image)["logits"].shape)
        ((1, 3, 16, 16, 16), (1, 4, 16, 16, 16))
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of TC, WT and ET, ``(B, 3, X, Y, Z)``, from an image, ``(B, M, X, Y, Z)``."""
        background, ncr, ed, et = self.network(x).float().unbind(1)
        core = torch.logaddexp(ncr, et)
        tc = core - torch.logaddexp(background, ed)
        wt = torch.logaddexp(core, ed) - background
        et = et - torch.logaddexp(torch.logaddexp(background, ncr), ed)
        return torch.stack([tc, wt, et], 1)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what the wrapped network's own ``features`` does; ``logits`` are ``(B, 4, X, Y, Z)``."""
        return self.network.features(x)  # type: ignore[operator]
