"""U-HVED: one network for every subset of the modalities, which fuses what it has in a product of Gaussians."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from pkdr_monai.baselines.uhved_coders import LEVELS, LatentDecoder, ModalityEncoder
from pkdr_monai.baselines.uhved_fusion import product_of_gaussians
from pkdr_monai.modalities import MODALITIES, channel_indices, parse_modalities
from pkdr_monai.networks.any_subset import draw_subset
from pkdr_monai.networks.blocks import KERNEL_SIZE, STRIDE, crop_to, pad_to_stride, refuse_wrong_gradients

__all__ = ["UHVED"]


class UHVED(nn.Module):
    """Segment a volume from any subset of its modalities, with one set of weights for all subsets.

    The hetero-modal variational encoder-decoder of Dorent et al. (MICCAI 2019): an encoder for each modality gives
    Gaussian codes at four resolutions; those of the modalities at hand are multiplied, together with a standard normal
    prior; decoders turn the fused codes into the segmentation and into every modality's image, the missing ones too.

    In training, codes are samples, and each step drops modalities at random: how many remain is drawn uniformly, then
    which. Elsewhere codes are their means, so that one image has one segmentation; the released code samples when it
    tests, too. All random numbers come from torch's global generators, for runs to be repeated and resumed.

    One subset holds for the whole batch, as in the original, whose batch is one image: the divergence between subsets
    then has one reference a step. (In the legacy code of other methods a mask shared by the batch was a mistake. Here
    no normalisation mixes the samples of a batch: sharing adds to the noise of a step, not to what is learnt on
    average. With several processes, each draws its own.)

    The original ends in a softmax of four classes; here each region has its sigmoid, as in every method compared. Sides
    that 16 does not divide are padded with zeros at their end, as the V-Net does, and the outputs are cropped back.

    Args:
        available: the modalities that :meth:`forward` sees, in the project's order; ``None`` for all. The weights are
            the same whatever it says: train with all four, then load ``model.pt`` with those of the hospital.
        modalities: the modalities that training sees.
        out_channels: number of segmented regions.
        init_filters: channels of an encoder at full resolution, an even number; half are means, half log-variances.
        modality_dropout: train with a random subset in each step; if not, with ``available`` in all, a control.

    Raises:
        ValueError: when a channel count does not fit.
        InputError: when a modality is unknown or not among ``modalities``.

    Example:
        >>> all_four, t2 = UHVED(init_filters=2).eval(), UHVED(["t2"], init_filters=2).eval()
        >>> t2.load_state_dict(all_four.state_dict())
        <All keys matched successfully>
        >>> tuple(t2(torch.zeros(1, 1, 20, 16, 16)).shape)
        (1, 3, 20, 16, 16)
    """

    def __init__(
        self,
        available: Iterable[str] | None = None,
        modalities: Iterable[str] = MODALITIES,
        out_channels: int = 3,
        init_filters: int = 8,
        modality_dropout: bool = True,
    ) -> None:
        super().__init__()
        if out_channels < 1 or init_filters < 2 or init_filters % 2:
            raise ValueError(
                "out_channels must be positive and init_filters positive and even, "
                f"got {out_channels} and {init_filters}."
            )
        self.modalities = parse_modalities(modalities)
        self.available = self.modalities if available is None else parse_modalities(available)
        channel_indices(self.available, self.modalities)  # refuses a modality that was never trained
        self.encoders = nn.ModuleDict({name: ModalityEncoder(init_filters) for name in self.modalities})
        self.reconstruction = nn.ModuleDict({name: LatentDecoder(1, init_filters) for name in self.modalities})
        self.segmentation = LatentDecoder(out_channels, init_filters)
        self.modality_dropout = modality_dropout
        self.in_channels = len(self.available)
        self.out_channels = out_channels
        self.init_filters = init_filters
        self.stride = STRIDE  # 8 would do for three poolings, but instance norm needs more than one voxel
        self.levels = LEVELS

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return segmentation logits from the means of the codes.

        Args:
            x: image with the channels ``available``, ``(B, in_channels, X, Y, Z)``, every side at least 16.

        Returns:
            Logits, ``(B, out_channels, X, Y, Z)``.

        Raises:
            ValueError: when ``x`` has other channels or a side under 16.
        """
        padded = pad_to_stride(x, self.in_channels, self.stride)
        codes: list[list[torch.Tensor]] = []
        for name, encoder in self.encoders.items():
            if name in self.available:
                channel = len(codes)
                codes.append(encoder(padded[:, channel : channel + 1]))
        fused: list[torch.Tensor] = []
        for level in range(self.levels):
            mean, _ = product_of_gaussians([code[level] for code in codes])
            fused.append(mean.to(codes[0][level].dtype))
        return crop_to(self.segmentation(fused), x)

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return all that the training loss reads, in one pass; every encoder runs once.

        Args:
            x: image with the channels ``modalities``, ``(B, M, X, Y, Z)``.

        Returns:
            ``logits``, as :meth:`forward` has them, of the drawn subset in training and of ``available`` elsewhere;
            ``reconstruction`` of every modality from that subset, ``(B, M, X, Y, Z)``; ``subset``, which modalities it
            has, ``(M,)``, bool, on the CPU; and ``posterior.0`` to ``posterior.3``, means and log-variances of every
            modality at each level, ``(B, M, 2C, x, y, z)``.

        Raises:
            InputError: where bfloat16 training on the CPU would compute wrong gradients silently.
        """
        refuse_wrong_gradients(self, x, 2 ** (LEVELS - 1), KERNEL_SIZE)
        padded = pad_to_stride(x, len(self.modalities), self.stride)
        codes = [encoder(image) for encoder, image in zip(self.encoders.values(), padded.split(1, dim=1), strict=True)]
        subset = self._subset()
        kept = [code for code, there in zip(codes, subset, strict=True) if there]
        fused = [self._code(list(level)) for level in zip(*kept, strict=True)]
        images = torch.cat([decoder(fused) for decoder in self.reconstruction.values()], dim=1)
        return {
            "logits": crop_to(self.segmentation(fused), x),
            "reconstruction": crop_to(images, x),
            "subset": torch.tensor(subset),
            **{f"posterior.{level}": torch.stack(parts, dim=1) for level, parts in enumerate(zip(*codes, strict=True))},
        }

    def _subset(self) -> list[bool]:
        if self.training and self.modality_dropout:
            return draw_subset(len(self.modalities))
        return [name in self.available for name in self.modalities]

    def _code(self, posteriors: list[torch.Tensor]) -> torch.Tensor:
        """Fuse the modalities' posteriors, and sample from the product in training."""
        mean, variance = product_of_gaussians(posteriors)
        if self.training:
            mean = mean + variance.sqrt() * torch.randn_like(mean)
        return mean.to(posteriors[0].dtype)
