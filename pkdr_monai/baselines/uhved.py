"""U-HVED: one network for every subset of the modalities, which fuses what it has in a product of Gaussians."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pkdr_monai.losses.base import full_precision, plain
from pkdr_monai.modalities import MODALITIES, channel_indices, parse_modalities
from pkdr_monai.networks.any_subset import draw_subset
from pkdr_monai.networks.blocks import KERNEL_SIZE, STRIDE, crop_to, pad_to_stride, refuse_wrong_gradients

__all__ = [
    "LEVELS",
    "UHVED",
    "LatentDecoder",
    "ModalityEncoder",
    "gaussian_divergence",
    "natural_parameters",
    "product_of_gaussians",
    "subset_divergence",
]

LEVELS = 4
NEGATIVE_SLOPE = 0.02  # of NiftyNet's leaky ReLU


class ModalityEncoder(nn.Module):
    """Describe one modality at four resolutions, each voxel by the mean and log-variance of a few Gaussian codes.

    A 1x1x1 convolution with leaky ReLU, then four levels of two (instance norm, leaky ReLU, 3x3x3 convolution), with
    2x2x2 max-pooling between them. The released code calls a level "ResBlock" but adds no residual.

    Args:
        init_filters: channels at full resolution; they double at each level. Half are means, half log-variances.

    Example:
        >>> [tuple(level.shape[1:]) for level in ModalityEncoder(8)(torch.zeros(1, 1, 16, 16, 24))]
        [(8, 16, 16, 24), (16, 8, 8, 12), (32, 4, 4, 6), (64, 2, 2, 3)]
    """

    def __init__(self, init_filters: int = 8) -> None:
        super().__init__()
        widths = [init_filters * 2**level for level in range(LEVELS)]
        self.stem = nn.Sequential(
            nn.Conv3d(1, init_filters, kernel_size=1, bias=False), nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)
        )
        self.levels = nn.ModuleList()
        for level, width in enumerate(widths):
            narrow = widths[max(level - 1, 0)]
            pool: list[nn.Module] = [nn.MaxPool3d(2)] if level else []
            self.levels.append(nn.Sequential(*pool, _convolution(narrow, width), _convolution(width, width)))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return means and log-variances of each level, full resolution first, from ``(B, 1, X, Y, Z)``.

        Level ``l`` is ``(B, init_filters 2^l, X/2^l, Y/2^l, Z/2^l)``: means in the first half of the channels,
        log-variances in the second, not yet clipped.
        """
        codes: list[torch.Tensor] = []
        x = self.stem(x)
        for level in self.levels:
            x = level(x)
            codes.append(x)
        return codes


class LatentDecoder(nn.Module):
    """Turn the fused codes of four resolutions into one volume: a modality's image, or the segmentation.

    From the coarsest level up: trilinear upsampling, concatenation with the next level's codes, and two (instance norm,
    leaky ReLU, 3x3x3 convolution), the second of which halves the channels. At the end a 1x1x1 convolution.

    Args:
        out_channels: channels of the volume.
        init_filters: as the encoders have it.

    Example:
        >>> codes = [torch.zeros(1, 4 * 2**level, *[16 // 2**level] * 3) for level in range(4)]
        >>> tuple(LatentDecoder(3, 8)(codes).shape)
        (1, 3, 16, 16, 16)
    """

    def __init__(self, out_channels: int, init_filters: int = 8) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="trilinear", align_corners=False)
        self.levels = nn.ModuleList()
        for level in reversed(range(LEVELS - 1)):
            width = init_filters * 2**level
            # both parts of the concatenation: ``width`` channels from below, ``width / 2`` codes of this level
            self.levels.append(nn.Sequential(_convolution(width + width // 2, width), _convolution(width, width // 2)))
        self.output = nn.Conv3d(init_filters // 2, out_channels, kernel_size=1)

    def forward(self, codes: list[torch.Tensor]) -> torch.Tensor:
        """Return the volume, ``(B, out_channels, X, Y, Z)``, from the codes of each level, full resolution first."""
        finer = len(codes) - 2
        x = codes[-1]
        for level in self.levels:
            x = level(torch.cat([self.up(x), codes[finer]], dim=1))
            finer -= 1
        return self.output(x)


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.InstanceNorm3d(in_channels, affine=True),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
    )


CPU_CHUNK = 2**16  # positions at a time, each with some hundred numbers: the memory is reused
GPU_CHUNK = 2**21  # positions at a time: they fill the device


def natural_parameters(posterior: Tensor, epsilon: float = 1e-7, bound: float = 50.0) -> tuple[Tensor, Tensor]:
    """Return a Gaussian's precision, and its mean times the precision: of a product of Gaussians both are sums.

    Args:
        posterior: means in the first half of the channels, log-variances in the second, ``(B, 2C, ...)``.
        epsilon: added to the variance, so that a precision is at most ``1 / epsilon``. TorchScript knows no constants.
        bound: log-variances are clipped to ``[-bound, bound]``.

    Returns:
        Both of shape ``(B, C, ...)``, in float32 at least.
    """
    mean, log_variance = posterior.to(torch.promote_types(posterior.dtype, torch.float32)).chunk(2, 1)
    precision = 1.0 / (log_variance.clamp(-bound, bound).exp() + epsilon)
    return precision, precision * mean


def product_of_gaussians(posteriors: list[Tensor]) -> tuple[Tensor, Tensor]:
    r"""Fuse the beliefs of several modalities, and the prior :math:`N(0, 1)`, by multiplying their densities.

    .. math::
        T = 1 + \sum_m \frac{1}{\sigma_m^2 + \epsilon}, \quad
        \mu = \frac{1}{T} \sum_m \frac{\mu_m}{\sigma_m^2 + \epsilon}, \quad \sigma^2 = \frac{1}{T}

    Args:
        posteriors: of each modality at hand, as :func:`natural_parameters` takes it.

    Returns:
        Mean and variance of the product, ``(B, C, ...)``, in float32 at least.

    Example:
        >>> sure_of_2 = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1, 1)
        >>> [round(value.item(), 3) for value in product_of_gaussians([sure_of_2])]
        [1.0, 0.5]
        >>> [round(value.item(), 3) for value in product_of_gaussians([sure_of_2, sure_of_2])]
        [1.333, 0.333]
    """
    precision, weighted_mean = natural_parameters(posteriors[0])
    precision = 1.0 + precision
    for posterior in posteriors[1:]:
        more, weighted_more = natural_parameters(posterior)
        precision = precision + more
        weighted_mean = weighted_mean + weighted_more
    return weighted_mean / precision, 1.0 / precision


def gaussian_divergence(
    mean: Tensor, precision: Tensor, other_mean: Tensor | float = 0.0, other_precision: Tensor | float = 1.0
) -> Tensor:
    r"""Kullback-Leibler divergence :math:`KL(N(\mu, 1/T) \| N(\mu', 1/T'))` of each element; from N(0, 1) by default.

    .. math::
        \frac{1}{2} \Big( T' (\mu - \mu')^2 + \frac{T'}{T} - 1 - \log \frac{T'}{T} \Big)
    """
    ratio = other_precision / precision
    return 0.5 * (other_precision * (mean - other_mean).square() + ratio - 1 - ratio.log())


def subset_divergence(posterior: Tensor, available: Sequence[bool]) -> Tensor:
    r"""Divergence of each subset's posterior from that of the available modalities, plus that from N(0, 1).

    With :math:`q_s` the product of the Gaussians of subset :math:`s`, and :math:`S` the available one among the
    :math:`2^M - 1` non-empty subsets (15 of 4 modalities):

    .. math::
        \frac{1}{2^M - 2} \sum_{s \ne S} KL(q_S \| q_s) + \frac{1}{2^M - 1} \sum_s KL(q_s \| N(0, 1))

    Each divergence is the mean over batch, channels and voxels. Gradients flow through both sides, as in the released
    code. The products of all subsets at full resolution would not fit into memory; the function walks the positions in
    pieces and finishes each, gradient included, so that it needs no memory beyond the gradient itself.

    Args:
        posterior: of every modality, ``(B, M, 2C, X, Y, Z)``, each as :func:`natural_parameters` takes it.
        available: for each modality whether it is in :math:`S`, at least one.

    Returns:
        A scalar.

    Example:
        >>> alike = torch.zeros(1, 4, 2, 1, 1, 1)
        >>> f"{subset_divergence(alike, [True, False, False, False]):.3f}"
        '0.309'
    """
    posterior = plain(posterior)
    with full_precision(posterior):
        divergence: Tensor = _Streamed.apply(posterior, tuple(available))
    return divergence


class _Streamed(torch.autograd.Function):
    """Mean of :func:`_divergence_sum` over the positions; value and gradient piece by piece, in one pass."""

    @staticmethod
    def forward(ctx: Any, posterior: Tensor, available: tuple[bool, ...]) -> Tensor:
        batch, modalities = posterior.shape[:2]
        flat = posterior.detach().reshape(batch, modalities, 2, -1)  # (B, M, 2, C X Y Z)
        dtype = torch.promote_types(flat.dtype, torch.float32)
        wanted = ctx.needs_input_grad[0]
        length = max((CPU_CHUNK if flat.device.type == "cpu" else GPU_CHUNK) // batch, 1)
        total = torch.zeros((), dtype=dtype, device=flat.device)
        gradients: list[Tensor] = []
        for piece in flat.split(length, dim=-1):
            with torch.set_grad_enabled(wanted):
                leaf = piece.to(dtype, copy=True).requires_grad_(wanted)
                value = _divergence_sum(leaf, available)
                if wanted:
                    gradients.append(torch.autograd.grad(value, leaf)[0].to(flat.dtype))
            total += value.detach()
        ctx.positions = batch * flat.shape[-1]
        if wanted:
            ctx.save_for_backward(torch.cat(gradients, dim=-1).reshape(posterior.shape))
        return total / ctx.positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        scale = grad_output / ctx.positions  # may be too small for the gradient's dtype
        return (gradient.to(scale.dtype) * scale).to(gradient.dtype), None


def _divergence_sum(posterior: Tensor, available: tuple[bool, ...]) -> Tensor:
    """Sum over the positions of a piece, ``(B, M, 2, n)``, of what :func:`subset_divergence` averages."""
    modalities = len(available)
    precisions, weighted_means = natural_parameters(posterior.transpose(0, 1).flatten(0, 1))  # (M B, 1, n)
    precision, weighted_mean = precisions.chunk(modalities), weighted_means.chunk(modalities)
    products = [(torch.ones_like(precision[0]), torch.zeros_like(precision[0]))]  # of the empty subset: the prior
    for modality in range(modalities):  # subset number i holds the modalities whose bits are set in i
        products += [(t + precision[modality], h + weighted_mean[modality]) for t, h in products]
    means, totals = [h / t for t, h in products], [t for t, _ in products]
    chosen = sum(2**modality for modality, there in enumerate(available) if there)
    apart, astray = totals[0].new_zeros(()), totals[0].new_zeros(())
    for subset in range(1, len(products)):
        if subset != chosen:
            apart += gaussian_divergence(means[chosen], totals[chosen], means[subset], totals[subset]).sum()
        astray += gaussian_divergence(means[subset], totals[subset]).sum()
    return apart / max(len(products) - 2, 1) + astray / (len(products) - 1)


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
