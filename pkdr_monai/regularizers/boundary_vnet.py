"""The network of Table 2, "Boundary-Aware": its outline stream takes part in the segmentation and stays for good."""

from __future__ import annotations

import torch
from torch import nn

from pkdr_monai.networks import PatchVNet
from pkdr_monai.networks.blocks import CONVOLUTIONS, KERNEL_SIZE, crop_to, refuse_wrong_gradients, scaling

__all__ = ["BoundaryVNet"]


class BoundaryVNet(nn.Module):
    """A :class:`~pkdr_monai.networks.PatchVNet` with a second stream that finds the outline of each region.

    The stream climbs from the bottleneck to full resolution beside the decoder. At each level a gate, fed by the
    encoder, chooses where the stream looks; the next level is twice as fine. Its outlines and the decoder's logits are
    fused by a 1x1x1 convolution into the segmentation. So this is a network, not a head: the stream is needed at the
    hospital too, and it has 16 % more parameters than the other methods of the table.

    After Myronenko and Hatamizadeh (2019), as others describe it. Sure: separate stream, gates
    ``sigmoid(conv1(ReLU(conv3([encoder, boundary]))))`` at each resolution, sigmoid outlines, fusion by a 1x1x1
    convolution. Chosen here: one gate map for all channels; the hidden width of a gate is that of its level; the stream
    starts with the bottleneck doubled in size; the decoder's logits (its output convolution is linear like the fusing
    one, so this is the same family of functions as its 16-channel feature) and the outlines' probabilities are fused.

    Args:
        in_channels: number of modalities, any positive number.
        out_channels: number of segmented regions, each with its outline.
        init_filters: channels at full resolution; the bottleneck has 16 times as many.

    Raises:
        ValueError: when a channel count is not positive.

    Example:
        >>> network = BoundaryVNet(in_channels=4, init_filters=2)
        >>> features = network.eval().features(torch.zeros(1, 4, 40, 32, 16))
        >>> tuple(features["logits"].shape), tuple(features["boundary_logits"].shape)
        ((1, 3, 40, 32, 16), (1, 3, 40, 32, 16))
    """

    def __init__(self, in_channels: int, out_channels: int = 3, init_filters: int = 16) -> None:
        super().__init__()
        self.backbone = PatchVNet(in_channels, out_channels, init_filters)
        self.climb = nn.ModuleList()
        self.gates = nn.ModuleList()
        for level in reversed(range(len(CONVOLUTIONS) - 1)):
            width = init_filters * 2**level
            self.climb.append(scaling(nn.ConvTranspose3d, 2 * width, width))
            self.gates.append(_Gate(width))
        self.boundary_output = nn.Conv3d(init_filters, out_channels, kernel_size=1)
        self.fuse = nn.Conv3d(2 * out_channels, out_channels, kernel_size=1)
        self.stride = self.backbone.stride
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.init_filters = init_filters
        self.embedding_channels = self.backbone.embedding_channels
        self.feature_channels = self.backbone.feature_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return segmentation logits, ``(B, out_channels, X, Y, Z)``, from an image, ``(B, in_channels, X, Y, Z)``.

        Raises:
            ValueError: when ``x`` has other channels or a side under 16.
        """
        levels = self.backbone.encode(x)
        return crop_to(self._segment(self.backbone.decode(levels), self._outline(levels)), x)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what :meth:`PatchVNet.features` does, and ``boundary_logits``, ``(B, out_channels, X, Y, Z)``.

        Raises:
            InputError: where bfloat16 training on the CPU would compute wrong gradients silently.
        """
        refuse_wrong_gradients(self, x, self.stride, KERNEL_SIZE)
        levels = self.backbone.encode(x)
        decoder_feature = self.backbone.decode(levels)
        boundary_logits = self._outline(levels)
        return {
            "logits": crop_to(self._segment(decoder_feature, boundary_logits), x),
            "embedding": levels[-1],
            "decoder_feature": crop_to(decoder_feature, x),
            "boundary_logits": crop_to(boundary_logits, x),
        }

    def _outline(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Return boundary logits at full (padded) resolution from the encoder's levels."""
        x = levels[-1]
        level = len(levels) - 2
        for climb, gate in zip(self.climb, self.gates):  # noqa: B905 (TorchScript knows no strict=)
            x = gate(levels[level], climb(x))
            level -= 1
        return self.boundary_output(x)

    def _segment(self, decoder_feature: torch.Tensor, boundary_logits: torch.Tensor) -> torch.Tensor:
        return self.fuse(torch.cat([self.backbone.output(decoder_feature), torch.sigmoid(boundary_logits)], dim=1))


class _Gate(nn.Module):
    """Let the encoder say where the outlines may be."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.Conv3d(2 * channels, channels, KERNEL_SIZE, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv3d(channels, 1, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, encoder: torch.Tensor, boundary: torch.Tensor) -> torch.Tensor:
        return self.attention(torch.cat([encoder, boundary], dim=1)) * boundary
