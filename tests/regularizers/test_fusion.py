"""Table 2, "Fusion": the terms, the head, and how the balance is learned."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.networks import Distiller, PatchVNet
from pkdr_monai.regularizers import FusionHead, FusionLoss, min_max_scaled

T1CE, T2, FLAIR = 1, 2, 3


def _student(image: torch.Tensor, log_variance: float = 0.4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "logits": torch.randn(len(image), 3, *image.shape[2:], generator=generator),
        "image": image,
        "fusion.weight_logits": torch.randn(len(image), 2, *image.shape[2:], generator=generator),
        "fusion.log_variance": torch.tensor(log_variance),
    }


def _ssim(a: torch.Tensor, b: torch.Tensor, window: int) -> float:
    """SSIM with a Gaussian window of standard deviation 1.5, one window after the other, in double precision."""
    at = torch.arange(window, dtype=torch.float64) - window // 2
    line = torch.exp(-0.5 * (at / 1.5) ** 2)
    line = line / line.sum()
    kernel = line[:, None, None] * line[None, :, None] * line[None, None, :]
    values = []
    for corner in itertools.product(*(range(side - window + 1) for side in a.shape)):
        piece = tuple(slice(start, start + window) for start in corner)
        x, y = a[piece].double(), b[piece].double()
        mean_x, mean_y = (kernel * x).sum(), (kernel * y).sum()
        var_x, var_y = (kernel * (x - mean_x) ** 2).sum(), (kernel * (y - mean_y) ** 2).sum()
        covariance = (kernel * (x - mean_x) * (y - mean_y)).sum()
        first = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
        values.append((first * (2 * covariance + 0.03**2) / (var_x + var_y + 0.03**2)).item())
    return sum(values) / len(values)


def _fusion_in_loops(image: torch.Tensor, weight_logits: torch.Tensor, window: int) -> float:
    total = 0.0
    for crop, maps in zip(image, weight_logits, strict=True):
        scaled = [(channel - channel.min()) / (channel.max() - channel.min()) for channel in crop]
        for k, partner in enumerate((T2, FLAIR)):
            w = 1 / (1 + torch.exp(-maps[k]))
            blend = w * scaled[partner] + (1 - w) * scaled[T1CE]
            total += 2 * ((blend - scaled[partner]) ** 2).mean().item() + ((blend - scaled[T1CE]) ** 2).mean().item()
            total += 2 * (1 - _ssim(blend, scaled[T1CE], window)) + 1 - _ssim(blend, scaled[partner], window)
    return total / len(image)


@pytest.mark.parametrize(("shape", "window"), [((1, 4, 8, 7, 9), 7), ((2, 4, 6, 5, 7), 5)])
def test_the_fusion_term_is_the_equation(shape: tuple[int, ...], window: int) -> None:
    image = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0)) - 1
    student = _student(image)
    loss = FusionLoss(window=window)
    loss({"student": student}, torch.zeros_like(student["logits"]))
    expected = _fusion_in_loops(image, student["fusion.weight_logits"], window)
    assert loss.parts["fusion"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("log_variance", [-1.0, 0.0, 2.0])
def test_the_loss_weighs_the_fusion_by_its_variance(
    image: torch.Tensor, label: torch.Tensor, log_variance: float
) -> None:
    student = _student(image, log_variance)
    loss = FusionLoss()
    total = loss({"student": student}, label)
    segmentation = SegmentationLoss()(student["logits"], label).item()
    assert loss.parts["segmentation"].item() == pytest.approx(segmentation)
    assert loss.parts["fusion_log_variance"].item() == pytest.approx(log_variance)
    expected = segmentation + math.exp(-log_variance) * loss.parts["fusion"].item() + log_variance
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert not any(part.requires_grad for part in loss.parts.values())


def test_every_parameter_trains_the_balance_too(image: torch.Tensor, label: torch.Tensor) -> None:
    torch.manual_seed(0)
    distiller = Distiller(PatchVNet(4, init_filters=2), student_heads={"fusion": FusionHead(32)}).train()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    loss = FusionLoss()
    loss(distiller(image), label).backward()
    assert [name for name, p in distiller.named_parameters() if p.grad is None or not p.grad.any()] == []
    optimizer.step()
    expected = -0.1 * (1 - loss.parts["fusion"])  # s = 0: its gradient is 1 - L_fus
    torch.testing.assert_close(distiller.student_heads["fusion"].log_variance.detach(), expected)
    assert loss.parts["fusion_log_variance"] == 0, "a part must not follow the parameter"


def test_the_balance_is_saved_with_the_distiller_and_not_with_the_network() -> None:
    distiller = Distiller(PatchVNet(4, init_filters=2), student_heads={"fusion": FusionHead(32)})
    assert "student_heads.fusion.log_variance" in distiller.state_dict()
    assert set(distiller.student.state_dict()) == set(PatchVNet(4, init_filters=2).state_dict())
    assert list(FusionLoss().parameters()) == []


def test_t1_takes_no_part(image: torch.Tensor, label: torch.Tensor) -> None:
    other = image.clone()
    other[:, 0] = torch.randn_like(other[:, 0])
    losses = [FusionLoss()({"student": _student(seen)}, label) for seen in (image, other)]
    assert torch.equal(*losses)


def test_the_order_of_the_channels_is_the_named_one(image: torch.Tensor, label: torch.Tensor) -> None:
    expected = FusionLoss()({"student": _student(image)}, label)
    three = {**_student(image), "image": image[:, [FLAIR, T1CE, T2]]}
    torch.testing.assert_close(FusionLoss(("flair", "t1ce", "t2"))({"student": three}, label), expected)


def test_scaling_and_shifting_a_modality_changes_nothing(image: torch.Tensor, label: torch.Tensor) -> None:
    factor = torch.tensor([2.0, 0.5, 3.0, 7.0]).reshape(1, 4, 1, 1, 1)
    losses = [FusionLoss()({"student": _student(seen)}, label) for seen in (image, factor * image - 4)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)


def test_each_modality_of_each_crop_is_scaled_on_its_own() -> None:
    scaled = min_max_scaled(torch.randn(3, 2, 4, 5, 6))
    assert torch.equal(scaled.amin([2, 3, 4]), torch.zeros(3, 2))
    assert torch.equal(scaled.amax([2, 3, 4]), torch.ones(3, 2))


def test_a_constant_image_costs_nothing_and_keeps_gradients_finite(label: torch.Tensor) -> None:
    student = _student(torch.full((2, 4, *label.shape[2:]), 3.0))
    student["fusion.weight_logits"].requires_grad_()
    loss = FusionLoss()
    loss({"student": student}, label).backward()
    assert loss.parts["fusion"].item() == pytest.approx(0, abs=1e-5)
    assert student["fusion.weight_logits"].grad.isfinite().all()


def test_autocast_and_low_precision_leave_the_comparison_in_float32(image: torch.Tensor, label: torch.Tensor) -> None:
    student = _student(image)
    low = {name: tensor.bfloat16() for name, tensor in student.items()}
    exact, loss = FusionLoss(), FusionLoss()
    exact({"student": {name: tensor.float() for name, tensor in low.items()}}, label)
    with torch.autocast("cpu", torch.bfloat16):
        total = loss({"student": low}, label)
    assert total.isfinite()
    torch.testing.assert_close(loss.parts["fusion"], exact.parts["fusion"], rtol=1e-5, atol=1e-5)


def test_a_batch_of_one_is_the_mean_of_itself(image: torch.Tensor, label: torch.Tensor) -> None:
    whole, loss = _student(image), FusionLoss()
    loss({"student": whole}, label)
    together, alone = loss.parts["fusion"], []
    for crop in range(2):
        one = {name: tensor[crop : crop + 1] if tensor.ndim else tensor for name, tensor in whole.items()}
        loss({"student": one}, label[crop : crop + 1])
        alone.append(loss.parts["fusion"])
    torch.testing.assert_close(together, torch.stack(alone).mean())


@pytest.mark.parametrize("missing", ["logits", "image", "fusion.weight_logits", "fusion.log_variance"])
def test_a_missing_tensor_is_named(image: torch.Tensor, label: torch.Tensor, missing: str) -> None:
    student = _student(image)
    del student[missing]
    with pytest.raises(ValueError, match=rf"FusionLoss needs prediction\['student'\]\['{missing}'\]"):
        FusionLoss()({"student": student}, label)


def test_a_crop_smaller_than_the_window_is_refused() -> None:
    student = _student(torch.zeros(1, 4, 16, 16, 16))
    with pytest.raises(ValueError, match=r"windows of 17 voxels a side, but the crop is \(16, 16, 16\)"):
        FusionLoss(window=17)({"student": student}, torch.zeros(1, 3, 16, 16, 16))


def test_weight_maps_of_another_crop_are_refused(image: torch.Tensor, label: torch.Tensor) -> None:
    student = {**_student(image), "fusion.weight_logits": torch.zeros(2, 2, 16, 16, 16)}
    with pytest.raises(ValueError, match="The head has to see the crop"):
        FusionLoss()({"student": student}, label)


def test_a_missing_modality_is_refused() -> None:
    with pytest.raises(InputError, match="modality 'flair' is not among the image's channels t1ce, t2"):
        FusionLoss(("t1ce", "t2"))


@pytest.mark.parametrize("window", [0, 8, -3])
def test_a_window_without_a_middle_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match=f"window to be an odd number above 0, but it is {window}"):
        FusionLoss(window=window)


def test_its_setting_is_in_its_description() -> None:
    assert "window=7" in repr(FusionLoss())
