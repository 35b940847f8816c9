"""The V-Net of the paper's lineage: compact, fully convolutional, one bottleneck voxel for each 16x16x16 patch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pkdr_monai.errors import InputError
from pkdr_monai.networks.heads import PatchSelectionHead

__all__ = ["PatchVNet"]

STRIDE = 16
KERNEL_SIZE = 3
CONVOLUTIONS = (1, 2, 3, 3, 3)  # a level, from full resolution down to the bottleneck


class PatchVNet(nn.Module):
    """Segment a volume and, for training, describe each of its 16x16x16 patches by one embedding vector.

    An encoder of five levels (``init_filters`` x 1, 2, 4, 8, 16 channels; 1, 2, 3, 3, 3 convolutions), strided
    convolutions between them, and a decoder that mirrors it with transposed convolutions and *added* skips. A
    convolution is 3x3x3 without bias, followed by batch norm and ReLU; there are no residual blocks and no dropout.

    The paper says "V-Net" and cites Milletari et al. 2016; its numbers descend from ProtoKD (Wang et al. 2023), whose
    public code defines this network, not Milletari's 5x5x5 residual one, and not MONAI's ``VNet``.

    Sides that 16 does not divide are padded with zeros at their end, and the logits are cropped back; patch outputs
    then cover the padded volume, ``ceil(side / 16)`` patches a side.

    Args:
        in_channels: number of modalities, any positive number.
        out_channels: number of segmented regions.
        init_filters: channels at full resolution; the bottleneck has 16 times as many.
        patch_head: own a :class:`PatchSelectionHead`, as a teacher does, whose patch logits distillation reads. A
            student's head belongs to the :class:`~pkdr_monai.networks.Distiller`, since inference has no use for it.

    Raises:
        ValueError: when a channel count is not positive.

    Example:
        >>> network = PatchVNet(in_channels=1, init_filters=4)
        >>> tuple(network.eval()(torch.zeros(1, 1, 40, 32, 16)).shape)
        (1, 3, 40, 32, 16)
    """

    def __init__(
        self, in_channels: int, out_channels: int = 3, init_filters: int = 16, patch_head: bool = False
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, init_filters) < 1:
            raise ValueError(
                "in_channels, out_channels and init_filters must be positive, "
                f"got {in_channels}, {out_channels} and {init_filters}."
            )
        widths = [init_filters * 2**level for level in range(len(CONVOLUTIONS))]
        self.stem = _convolutions(in_channels, widths[0], CONVOLUTIONS[0])
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for narrow, wide, count in zip(widths[:-1], widths[1:], CONVOLUTIONS[1:], strict=True):
            self.down.append(
                nn.Sequential(_scaling(nn.Conv3d, narrow, wide), _convolutions(wide, wide, count)),
            )
        for level in reversed(range(len(widths) - 1)):
            self.up.append(_scaling(nn.ConvTranspose3d, widths[level + 1], widths[level]))
            self.merge.append(_convolutions(widths[level], widths[level], CONVOLUTIONS[level]))
        self.output = nn.Conv3d(widths[0], out_channels, kernel_size=1)
        self.patch_head = PatchSelectionHead(widths[-1], out_channels) if patch_head else None
        self.stride = STRIDE
        self.in_channels = in_channels
        self.embedding_channels = widths[-1]
        self.feature_channels = widths[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return segmentation logits.

        Args:
            x: image, ``(B, in_channels, X, Y, Z)``, every side at least 16.

        Returns:
            Logits, ``(B, out_channels, X, Y, Z)``.

        Raises:
            ValueError: when ``x`` has other channels or a side under 16.
        """
        levels = self.encode(x)
        return self._crop(self.output(self.decode(levels)), x)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all that a training loss may read, in one pass.

        Args:
            x: image, ``(B, in_channels, X, Y, Z)``.

        Returns:
            ``logits`` ``(B, out_channels, X, Y, Z)``; ``embedding``, the bottleneck, ``(B, 16 init_filters, x, y, z)``
            with ``x = ceil(X / 16)``; ``decoder_feature``, what the output convolution sees,
            ``(B, init_filters, X, Y, Z)``; and, where the network owns a patch head, ``patch_logits``
            ``(B, out_channels, x, y, z)``.

        Raises:
            InputError: where bfloat16 training on the CPU would compute wrong gradients without a word.
        """
        _refuse_wrong_gradients(self, x)
        levels = self.encode(x)
        decoder_feature = self.decode(levels)
        features = {
            "logits": self._crop(self.output(decoder_feature), x),
            "embedding": levels[-1],
            "decoder_feature": self._crop(decoder_feature, x),
        }
        if self.patch_head is not None:
            features["patch_logits"] = self.patch_head(levels[-1])
        return features

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the encoder's output at every level, full resolution first, the bottleneck last."""
        self._check(x)
        excess = [-side % self.stride for side in x.shape[2:]]
        if max(excess) > 0:
            x = F.pad(x, [0, excess[2], 0, excess[1], 0, excess[0]])
        levels = [self.stem(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        return levels

    def decode(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Return the decoder's feature at full (padded) resolution from the encoder's levels."""
        x = levels[-1]
        skip = len(levels) - 2
        for up, merge in zip(self.up, self.merge):  # noqa: B905 (TorchScript knows no strict=)
            x = merge(up(x) + levels[skip])
            skip -= 1
        return x

    def _check(self, x: torch.Tensor) -> None:
        if x.dim() != 5 or x.shape[1] != self.in_channels or min(x.shape[2:]) < self.stride:
            raise ValueError(
                f"expected an image of shape (B, {self.in_channels}, X, Y, Z) with every side at least "
                f"{self.stride}, got {list(x.shape)}."
            )

    @staticmethod
    def _crop(feature: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return feature[:, :, : x.shape[2], : x.shape[3], : x.shape[4]]


def _convolutions(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """``count`` times a 3x3x3 convolution, batch norm and ReLU."""
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [
            nn.Conv3d(out_channels if index else in_channels, out_channels, KERNEL_SIZE, padding=1, bias=False),
            nn.BatchNorm3d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _scaling(
    convolution: type[nn.Conv3d] | type[nn.ConvTranspose3d], in_channels: int, out_channels: int
) -> nn.Sequential:
    """A convolution that halves, or a transposed one that doubles, every side; batch norm and ReLU."""
    return nn.Sequential(
        convolution(in_channels, out_channels, kernel_size=2, stride=2, bias=False),
        nn.BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    )


def _refuse_wrong_gradients(network: nn.Module, x: torch.Tensor) -> None:
    """Refuse bfloat16 training on the CPU with a bottleneck thinner than the kernel (wrong in oneDNN, torch 2.13)."""
    low_precision = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    thin = -(-x.shape[2] // STRIDE) < KERNEL_SIZE
    if low_precision and thin and network.training and torch.is_grad_enabled() and x.device.type == "cpu":
        raise InputError(
            f"training in bfloat16 on the CPU computes wrong gradients for crops whose first side is under "
            f"{STRIDE * (KERNEL_SIZE - 1) + 1} (here {x.shape[2]}). Train in float32, or take a larger crop."
        )
