"""Table 2, "VAE": the terms, the head, and what trains."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.networks import Distiller, PatchVNet
from pkdr_monai.regularizers import VAEHead, VAELoss, kl_divergence
from pkdr_monai.regularizers.vae import SkiplessDecoder

from .conftest import SIZE


def _distiller() -> Distiller:
    torch.manual_seed(0)
    return Distiller(PatchVNet(4, init_filters=2), student_heads={"vae": VAEHead(32, 4, SIZE)})


def _student(image: torch.Tensor) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "logits": torch.randn(len(image), 3, *image.shape[2:], generator=generator),
        "image": image,
        "vae.reconstruction": torch.randn(image.shape, generator=generator),
        "vae.mean": torch.randn(len(image), 5, generator=generator),
        "vae.log_variance": torch.randn(len(image), 5, generator=generator),
    }


@pytest.mark.parametrize(("batch", "latent", "voxels"), [(1, 1, 1), (2, 5, 24), (3, 4, 1000)])
def test_the_distance_is_the_equation(batch: int, latent: int, voxels: int) -> None:
    mean, log_variance = torch.randn(2, batch, latent, dtype=torch.float64)
    total = 0.0
    for b, k in itertools.product(range(batch), range(latent)):
        mu, sigma = mean[b, k].item(), math.exp(0.5 * log_variance[b, k].item())
        total += mu**2 + sigma**2 - math.log(sigma**2) - 1
    expected = total / voxels / batch
    assert kl_divergence(mean, log_variance, voxels).item() == pytest.approx(expected, rel=1e-9)


def test_the_distance_is_twice_torchs_and_zero_for_the_standard_gaussian() -> None:
    mean, log_variance = torch.randn(2, 1, 6)
    ours = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    theirs = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(kl_divergence(mean, log_variance, 1), 2 * theirs)
    assert kl_divergence(torch.zeros(2, 6), torch.zeros(2, 6), 1) == 0


@pytest.mark.parametrize(("reconstruction_weight", "kl_weight"), [(0.1, 0.1), (2.0, 30.0)])
def test_the_loss_is_the_weighted_sum_of_its_parts(
    label: torch.Tensor, reconstruction_weight: float, kl_weight: float
) -> None:
    image = torch.randn(2, 2, 3, 2, 4)
    student, label = _student(image), label[:, :, 6:9, 5:7, 8:12]
    loss = VAELoss(reconstruction_weight, kl_weight)
    total = loss({"student": student}, label)
    squares = [
        (image[i] - student["vae.reconstruction"][i]).item() ** 2 for i in itertools.product(*map(range, image.shape))
    ]
    reconstruction = sum(squares) / len(squares)
    kl = kl_divergence(student["vae.mean"], student["vae.log_variance"], voxels=3 * 2 * 4).item()
    segmentation = SegmentationLoss()(student["logits"], label).item()
    assert loss.parts["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-5)
    assert loss.parts["kl"].item() == pytest.approx(kl)
    expected = segmentation + reconstruction_weight * reconstruction + kl_weight * kl
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert not any(part.requires_grad for part in loss.parts.values())


def test_every_parameter_of_network_and_head_gets_a_gradient(image: torch.Tensor, label: torch.Tensor) -> None:
    distiller = _distiller().train()
    VAELoss()(distiller(image), label).backward()
    assert [name for name, p in distiller.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_reconstruction_teaches_both_moments_through_the_sample(image: torch.Tensor) -> None:
    head = VAEHead(32, 4, SIZE).train()
    result = head(torch.randn(2, 32, 2, 1, 2), image)
    for moment in ("mean", "log_variance"):
        (gradient,) = torch.autograd.grad(result["reconstruction"].square().sum(), result[moment], retain_graph=True)
        assert gradient.any()


def test_a_sample_is_drawn_in_training_and_the_mean_in_eval_mode(image: torch.Tensor) -> None:
    head, embedding = VAEHead(32, 4, SIZE), torch.randn(2, 32, 2, 1, 2)
    assert not torch.equal(head(embedding, image)["reconstruction"], head(embedding, image)["reconstruction"])
    head.eval()
    assert torch.equal(head(embedding, image)["reconstruction"], head(embedding, image)["reconstruction"])


def test_the_decoder_is_not_the_segmentations(image: torch.Tensor, label: torch.Tensor) -> None:
    distiller = _distiller().train()
    (distiller(image)["student"]["vae.reconstruction"]).square().sum().backward()
    assert all(parameter.grad is None for parameter in distiller.student.up.parameters())
    assert distiller.student.stem[0].weight.grad.any()


def test_a_batch_of_one_trains() -> None:
    distiller = _distiller().train()
    loss = VAELoss()(distiller(torch.randn(1, 4, *SIZE)), torch.zeros(1, 3, *SIZE))
    loss.backward()
    assert loss.isfinite()


def test_a_constant_image_gives_finite_gradients() -> None:
    distiller = _distiller().train()
    VAELoss()(distiller(torch.zeros(2, 4, *SIZE)), torch.zeros(2, 3, *SIZE)).backward()
    assert all(p.grad.isfinite().all() for p in distiller.parameters())


def test_low_precision_is_compared_in_float32() -> None:
    student = {name: tensor.bfloat16() for name, tensor in _student(torch.randn(1, 2, 16, 16, 16)).items()}
    loss = VAELoss()({"student": student}, torch.zeros(1, 3, 16, 16, 16))
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_the_head_works_under_autocast(image: torch.Tensor) -> None:
    head = VAEHead(32, 4, SIZE).eval()
    with torch.autocast("cpu", torch.bfloat16):
        result = head(torch.randn(2, 32, 2, 1, 2), image)
    assert result["mean"].dtype == torch.float32
    assert all(tensor.isfinite().all() for tensor in result.values())


def test_another_crop_is_refused(image: torch.Tensor) -> None:
    head = VAEHead(32, 4, [32, 32, 32])
    with pytest.raises(
        ValueError, match=r"crops of \(32, 32, 32\) and a bottleneck of \(2, 2, 2\), but got \(32, 16, 32\)"
    ):
        head(torch.zeros(2, 32, 2, 1, 2), image)


@pytest.mark.parametrize("wrong", [{"image_size": [32, 32]}, {"image_size": [32, 32, 0]}, {"latent_channels": 0}])
def test_settings_that_are_not_positive_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="VAEHead expects positive channel counts and an image_size of three"):
        VAEHead(**{"in_channels": 32, "image_channels": 4, "image_size": SIZE, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["logits", "image", "vae.reconstruction", "vae.mean", "vae.log_variance"])
def test_a_missing_tensor_is_named(label: torch.Tensor, image: torch.Tensor, missing: str) -> None:
    student = _student(image)
    del student[missing]
    with pytest.raises(ValueError, match=rf"VAELoss needs prediction\['student'\]\['{missing}'\]"):
        VAELoss()({"student": student}, label)


def test_a_reconstruction_of_other_modalities_is_refused(label: torch.Tensor, image: torch.Tensor) -> None:
    student = {**_student(image), "vae.reconstruction": torch.zeros(2, 1, *SIZE)}
    with pytest.raises(ValueError, match="draw as many modalities as the network sees"):
        VAELoss()({"student": student}, label)


@pytest.mark.parametrize("name", ["reconstruction_weight", "kl_weight"])
def test_a_weight_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"VAELoss expects {name} to be a finite number above 0, but it is 0"):
        VAELoss(**{name: 0.0})


def test_its_settings_are_in_its_description() -> None:
    assert "reconstruction_weight=0.1, kl_weight=0.1" in repr(VAELoss())


@pytest.mark.parametrize("size", [(16, 32, 16), (17, 24, 31)])
def test_it_draws_an_image_of_the_crops_size(size: tuple[int, int, int]) -> None:
    image = torch.zeros(2, 4, *size)
    embedding = torch.randn(2, 32, *(-(-side // 16) for side in size))
    assert SkiplessDecoder(32, 5)(embedding, image).shape == (2, 5, *size)


def test_its_steps_are_those_of_the_segmentation_decoder() -> None:
    segmentation = PatchVNet(4, init_filters=2)
    decoder = SkiplessDecoder(segmentation.embedding_channels, 3)
    expected = [*segmentation.up.parameters(), *segmentation.merge.parameters(), *segmentation.output.parameters()]
    shapes = sorted(tuple(parameter.shape) for parameter in decoder.parameters())
    assert shapes == sorted(tuple(parameter.shape) for parameter in expected)


def test_it_sees_the_embedding_alone() -> None:
    decoder = SkiplessDecoder(16, 1).eval()
    embedding = torch.randn(1, 16, 1, 1, 1)
    drawn = [decoder(embedding, image) for image in (torch.zeros(1, 1, 16, 16, 16), torch.ones(1, 1, 16, 16, 16))]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("in_channels", [0, 8, 24])
def test_channels_that_cannot_be_halved_four_times_are_refused(in_channels: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 16, got {in_channels}"):
        SkiplessDecoder(in_channels, 1)
