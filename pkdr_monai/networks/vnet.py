"""The V-Net of the paper's lineage: compact, fully convolutional, one bottleneck voxel for each 16x16x16 patch."""

from __future__ import annotations

import torch
from torch import nn

from pkdr_monai.networks.blocks import (
    CONVOLUTIONS,
    KERNEL_SIZE,
    STRIDE,
    PatchSelectionHead,
    convolutions,
    crop_to,
    pad_to_stride,
    refuse_wrong_gradients,
    scaling,
)

__all__ = ["PatchVNet"]

PATCH_SIZES = tuple(2**level for level in range(len(CONVOLUTIONS)))  # the stride of each level of the encoder


class PatchVNet(nn.Module):
    """Segment a volume and, for training, describe each of its 16x16x16 patches by one embedding vector.

    An encoder of five levels (``init_filters`` x 1, 2, 4, 8, 16 channels; 1, 2, 3, 3, 3 convolutions), strided
    convolutions between them, and a decoder that mirrors it with transposed convolutions and *added* skips. A
    convolution is 3x3x3 without bias, followed by batch norm and ReLU; there are no residual blocks and no dropout.

    The paper says "V-Net" and cites Milletari et al. 2016; its numbers descend from ProtoKD (Wang et al. 2023), whose
    public code defines this network, not Milletari's 5x5x5 residual one, and not MONAI's ``VNet``.

    Sides that 16 does not divide are padded with zeros at their end, and the outputs are cropped back; the last patch
    of such a side reaches beyond the volume, which has ``ceil(side / 16)`` patches there.

    Args:
        in_channels: number of modalities, any positive number.
        out_channels: number of segmented regions.
        init_filters: channels at full resolution; the bottleneck has 16 times as many.
        patch_head: own a :class:`PatchSelectionHead`, as a teacher does, whose patch logits distillation reads. A
            student's head belongs to the :class:`~pkdr_monai.networks.Distiller`, since inference has no use for it.
        patch_size: side of the patch that one embedding vector describes. The paper does not give it; 16, one voxel of
            the bottleneck, is the reading taken. 8 takes the embedding one level of the encoder above the bottleneck,
            which has half the channels. The segmentation is the same function for each.
        norm: ``batch`` as in the paper's lineage, or ``instance``, whose statistics are those of each image, so that
            they fit whatever modalities and whatever scanner it comes from.

    Raises:
        ValueError: when a channel count is not positive, ``patch_size`` is the stride of no level, or there is no
            such norm.

    Example:
        >>> network = PatchVNet(in_channels=1, init_filters=4)
        >>> tuple(network.eval()(torch.zeros(1, 1, 40, 32, 16)).shape)
        (1, 3, 40, 32, 16)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 3,
        init_filters: int = 16,
        patch_head: bool = False,
        patch_size: int = STRIDE,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, init_filters) < 1:
            raise ValueError(
                "in_channels, out_channels and init_filters must be positive, "
                f"got {in_channels}, {out_channels} and {init_filters}."
            )
        if patch_size not in PATCH_SIZES:
            raise ValueError(f"patch_size must be one of {', '.join(map(str, PATCH_SIZES))}, got {patch_size!r}.")
        widths = [init_filters * 2**level for level in range(len(CONVOLUTIONS))]
        self.stem = convolutions(in_channels, widths[0], CONVOLUTIONS[0], norm)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for narrow, wide, count in zip(widths[:-1], widths[1:], CONVOLUTIONS[1:], strict=True):
            self.down.append(
                nn.Sequential(scaling(nn.Conv3d, narrow, wide, norm), convolutions(wide, wide, count, norm)),
            )
        for level in reversed(range(len(widths) - 1)):
            self.up.append(scaling(nn.ConvTranspose3d, widths[level + 1], widths[level], norm))
            self.merge.append(convolutions(widths[level], widths[level], CONVOLUTIONS[level], norm))
        self.output = nn.Conv3d(widths[0], out_channels, kernel_size=1)
        self.patch_size = patch_size
        self.norm = norm
        self.embedding_level = PATCH_SIZES.index(patch_size)
        self.embedding_channels = widths[self.embedding_level]
        self.patch_head = PatchSelectionHead(self.embedding_channels, out_channels) if patch_head else None
        self.stride = STRIDE
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.init_filters = init_filters
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
        return self._logits(x)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all that a training loss may read, in one pass.

        Args:
            x: image, ``(B, in_channels, X, Y, Z)``.

        Returns:
            ``logits`` ``(B, out_channels, X, Y, Z)``; ``embedding``, the encoder's output at the level that
            ``patch_size`` names, ``(B, patch_size init_filters, x, y, z)`` with ``x = ceil(X / patch_size)``;
            ``decoder_feature``, what the output convolution sees, ``(B, init_filters, X, Y, Z)``; and, where the
            network owns a patch head, ``patch_logits`` ``(B, out_channels, x, y, z)``.

        Raises:
            InputError: where bfloat16 training on the CPU would compute wrong gradients silently.
        """
        refuse_wrong_gradients(self, x, STRIDE, KERNEL_SIZE)
        levels = self.encode(x)
        decoder_feature = self.decode(levels)
        patches = [-(-side // self.patch_size) for side in x.shape[2:]]
        embedding = levels[self.embedding_level][:, :, : patches[0], : patches[1], : patches[2]]
        features = {
            "logits": crop_to(self.output(decoder_feature), x),
            "embedding": embedding,
            "decoder_feature": crop_to(decoder_feature, x),
        }
        if self.patch_head is not None:
            features["patch_logits"] = self.patch_head(embedding)
        return features

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the encoder's output at every level, full resolution first, the bottleneck last."""
        return self._levels(x, self.in_channels)

    def decode(self, levels: list[torch.Tensor]) -> torch.Tensor:
        """Return the decoder's feature at full (padded) resolution from the encoder's levels."""
        x = levels[-1]
        skip = len(levels) - 2
        for up, merge in zip(self.up, self.merge):  # noqa: B905 (TorchScript knows no strict=)
            x = merge(up(x) + levels[skip])
            skip -= 1
        return x

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        levels = self.encode(x)
        return crop_to(self.output(self.decode(levels)), x)

    def _levels(self, x: torch.Tensor, channels: int) -> list[torch.Tensor]:
        levels = [self.stem(pad_to_stride(x, channels, self.stride))]
        for down in self.down:
            levels.append(down(levels[-1]))
        return levels
