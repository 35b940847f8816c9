"""Products of Gaussians and their divergences are what the formulas say, redone in plain loops."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from pkdr_monai.baselines import uhved as uhved_fusion
from pkdr_monai.baselines.uhved import (
    gaussian_divergence,
    natural_parameters,
    product_of_gaussians,
    subset_divergence,
)

SUBSETS = [subset for size in range(1, 5) for subset in itertools.combinations(range(4), size)]


def posterior(*shape: int, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def product_by_hand(means: list[float], log_variances: list[float]) -> tuple[float, float]:
    """The product of Gaussians with the prior, for one number."""
    precision, weighted = 1.0, 0.0
    for mean, log_variance in zip(means, log_variances, strict=True):
        variance = math.exp(min(max(log_variance, -50), 50)) + 1e-7
        precision += 1 / variance
        weighted += mean / variance
    return weighted / precision, 1 / precision


def divergence_by_hand(mean: float, variance: float, other_mean: float, other_variance: float) -> float:
    return 0.5 * (
        math.log(other_variance) - math.log(variance) + (variance + (mean - other_mean) ** 2) / other_variance - 1
    )


def subset_divergence_by_hand(tensor: torch.Tensor, available: tuple[int, ...]) -> float:
    """All 15 subsets, number by number."""
    means, log_variances = tensor.chunk(2, 2)
    total, count = 0.0, 0
    for sample, channel, *voxel in itertools.product(*map(range, (means.shape[0], *means.shape[2:]))):
        at = (sample, slice(None), channel, *voxel)
        mean, log_variance = means[at].tolist(), log_variances[at].tolist()
        belief = {s: product_by_hand([mean[m] for m in s], [log_variance[m] for m in s]) for s in SUBSETS}
        apart = [divergence_by_hand(*belief[available], *belief[s]) for s in SUBSETS if s != available]
        astray = [divergence_by_hand(*belief[s], 0.0, 1.0) for s in SUBSETS]
        assert (len(apart), len(astray)) == (14, 15)
        total += sum(apart) / 14 + sum(astray) / 15
        count += 1
    return total / count


@pytest.mark.parametrize("subset", SUBSETS)
def test_a_product_of_gaussians_multiplies_densities_with_the_prior(subset: tuple[int, ...]) -> None:
    parts = posterior(4, 1, 6, 2, 1, 2, scale=2.0)
    mean, variance = product_of_gaussians([parts[modality] for modality in subset])
    for channel, x, z in itertools.product(range(3), range(2), range(2)):
        means = [float(parts[m, 0, channel, x, 0, z]) for m in subset]
        log_variances = [float(parts[m, 0, 3 + channel, x, 0, z]) for m in subset]
        expected = product_by_hand(means, log_variances)
        assert float(mean[0, channel, x, 0, z]) == pytest.approx(expected[0], rel=1e-9)
        assert float(variance[0, channel, x, 0, z]) == pytest.approx(expected[1], rel=1e-9)


def test_a_modality_that_knows_nothing_changes_nothing() -> None:
    sure, unsure = posterior(1, 2, 1, 1, 1), torch.tensor([[3.0, 60.0]], dtype=torch.float64).reshape(1, 2, 1, 1, 1)
    torch.testing.assert_close(product_of_gaussians([sure, unsure]), product_of_gaussians([sure]))


def test_log_variances_are_clipped_at_50() -> None:
    extreme = torch.tensor([[1.0, 1.0, -500.0, 500.0]], dtype=torch.float64).reshape(1, 4, 1, 1, 1)
    precision, _ = natural_parameters(extreme)
    assert precision.flatten().tolist() == pytest.approx([1 / (math.exp(-50) + 1e-7), math.exp(-50)])


def test_the_divergence_of_two_gaussians_is_torchs() -> None:
    mean, other_mean, precision, other_precision = posterior(4, 50).unbind()
    precision, other_precision = precision.exp(), other_precision.exp()
    expected = kl_divergence(Normal(mean, precision.rsqrt()), Normal(other_mean, other_precision.rsqrt()))
    torch.testing.assert_close(gaussian_divergence(mean, precision, other_mean, other_precision), expected)
    prior = kl_divergence(Normal(mean, precision.rsqrt()), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_divergence(mean, precision), prior)


@pytest.mark.parametrize("subset", SUBSETS)
def test_the_divergence_of_the_subsets_is_the_sum_over_all_15(subset: tuple[int, ...]) -> None:
    parts = posterior(2, 4, 4, 2, 1, 3)
    available = [modality in subset for modality in range(4)]
    assert float(subset_divergence(parts, available)) == pytest.approx(subset_divergence_by_hand(parts, subset))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_pieces_change_neither_the_value_nor_the_gradient(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    whole, pieces = (posterior(2, 4, 4, 3, 2, 3).requires_grad_() for _ in range(2))
    expected = subset_divergence(whole, [True, False, True, False])
    expected.backward()
    monkeypatch.setattr(uhved_fusion, "CPU_CHUNK", chunk)
    value = subset_divergence(pieces, [True, False, True, False])
    (2 * value).backward()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(pieces.grad, 2 * whole.grad)


@pytest.mark.parametrize("available", [(True, False, False, False), (True, True, False, True), (True,) * 4])
def test_the_gradient_is_that_of_the_value(available: tuple[bool, ...]) -> None:
    parts = posterior(2, 4, 4, 1, 2, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda tensor: subset_divergence(tensor, available), parts)


def test_every_modality_is_drawn_to_the_others_even_when_it_is_missing() -> None:
    parts = posterior(1, 4, 4, 2, 2, 2).requires_grad_()
    subset_divergence(parts, [False, True, False, False]).backward()
    assert all(bool(parts.grad[:, modality].any()) for modality in range(4))


def test_it_is_zero_where_no_modality_says_more_than_the_prior() -> None:
    parts = torch.zeros(1, 4, 2, 2, 2, 2)
    parts[:, :, 1] = 50.0
    assert float(subset_divergence(parts, [True, False, False, False])) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_any_number_of_modalities_is_taken(modalities: int) -> None:
    assert subset_divergence(posterior(1, modalities, 2, 2, 2, 2), [True] * modalities).isfinite()


@pytest.mark.parametrize(("dtype", "scale"), [(torch.float16, 1.0), (torch.bfloat16, 1.0), (torch.bfloat16, 1e4)])
def test_low_precision_and_extreme_codes_stay_finite(dtype: torch.dtype, scale: float) -> None:
    parts = posterior(1, 4, 4, 2, 2, 2, scale=scale).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = subset_divergence(parts, [True, False, True, False])
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert parts.grad.isfinite().all()


def test_nothing_is_kept_for_a_gradient_that_nobody_wants() -> None:
    parts = posterior(1, 4, 2, 2, 2, 2)
    assert not subset_divergence(parts, [True] * 4).requires_grad
    with torch.no_grad():
        assert subset_divergence(parts.requires_grad_(), [True] * 4).isfinite()
