"""Products of Gaussians: one belief from whatever modalities are there, and how far apart such beliefs are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pkdr_monai.losses.inputs import full_precision, plain

__all__ = ["gaussian_divergence", "natural_parameters", "product_of_gaussians", "subset_divergence"]

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
    r"""Ask that every subset of the modalities believes what the available ones do, and none strays far from N(0, 1).

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
