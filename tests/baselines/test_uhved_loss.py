"""The loss of U-HVED: its three terms, redone by hand, and what it asks for."""

from __future__ import annotations

import itertools

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.baselines import UHVED, UHVEDLoss
from pkdr_monai.baselines.uhved import subset_divergence
from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.networks import Distiller

TERMS = ["segmentation", "reconstruction", "divergence"]
SUBSET = [False, True, True, False]


def example(dtype: torch.dtype = torch.float32) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"logits": (2, 3, 8, 8, 16), "image": (2, 4, 8, 8, 16), "reconstruction": (2, 4, 8, 8, 16)}
    shapes |= {f"posterior.{i}": (2, 4, 2**i * 2, 8 // 2**i, 8 // 2**i, 16 // 2**i) for i in range(4)}
    student = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    for name in set(student) - {"image"}:
        student[name].requires_grad_()
    student["subset"] = torch.tensor(SUBSET)
    return student, (torch.rand(2, 3, 8, 8, 16, generator=generator) > 0.6).float()


def test_it_is_the_weighted_sum_of_its_three_terms() -> None:
    student, label = example()
    loss = UHVEDLoss(reconstruction=0.3, divergence=0.2)
    total = loss({"student": student}, label)
    assert list(loss.parts) == TERMS
    expected = loss.parts["segmentation"] + 0.3 * loss.parts["reconstruction"] + 0.2 * loss.parts["divergence"]
    torch.testing.assert_close(total.detach(), expected)
    assert not any(part.requires_grad for part in loss.parts.values())


def test_the_published_weights_are_the_default() -> None:
    assert UHVEDLoss().weights == {"segmentation": 1.0, "reconstruction": 0.1, "divergence": 0.1}


def test_the_segmentation_term_is_equation_8() -> None:
    student, label = example()
    loss = UHVEDLoss()
    loss({"student": student}, label)
    assert torch.equal(loss.parts["segmentation"], SegmentationLoss()(student["logits"], label))


def test_all_four_images_count_whichever_were_missing() -> None:
    student, label = example()
    loss = UHVEDLoss()
    loss({"student": student}, label).backward()
    total, image, redrawn = 0.0, student["image"].tolist(), student["reconstruction"].tolist()
    for b, m, x, y, z in itertools.product(*map(range, student["image"].shape)):
        total += (image[b][m][x][y][z] - redrawn[b][m][x][y][z]) ** 2
    assert float(loss.parts["reconstruction"]) == pytest.approx(total / student["image"].numel(), rel=1e-5)
    assert all(bool(student["reconstruction"].grad[:, modality].any()) for modality in range(4))


def test_the_divergence_is_the_mean_over_the_four_levels() -> None:
    student, label = example()
    loss = UHVEDLoss()
    loss({"student": student}, label)
    levels = [float(subset_divergence(student[f"posterior.{level}"].detach(), SUBSET)) for level in range(4)]
    assert float(loss.parts["divergence"]) == pytest.approx(sum(levels) / 4, rel=1e-6)


@pytest.mark.parametrize("term", ["reconstruction", "divergence"])
def test_a_term_without_weight_needs_no_tensors(term: str) -> None:
    student, label = example()
    needed = {"reconstruction": ("reconstruction", "image"), "divergence": ("subset", "posterior.0")}[term]
    loss = UHVEDLoss(**{term: 0.0})
    loss({"student": {name: tensor for name, tensor in student.items() if name not in needed}}, label)
    assert list(loss.parts) == [name for name in TERMS if name != term]


def test_it_trains_the_network_in_a_distiller() -> None:
    torch.manual_seed(0)
    distiller = Distiller(UHVED(init_filters=2)).train()
    prediction = distiller(torch.randn(2, 4, 16, 16, 16))
    UHVEDLoss()(prediction, torch.ones(2, 3, 16, 16, 16)).backward()
    silent = [name for name, p in distiller.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_stays_finite(dtype: torch.dtype) -> None:
    student, label = example(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        total = UHVEDLoss()({"student": student}, label)
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert all(bool(tensor.grad.isfinite().all()) for tensor in student.values() if tensor.requires_grad)


def test_meta_tensors_change_nothing() -> None:
    student, label = example()
    wrapped = {name: MetaTensor(tensor) for name, tensor in student.items()}
    total = UHVEDLoss()({"student": wrapped}, MetaTensor(label))
    assert type(total) is torch.Tensor
    assert torch.equal(total, UHVEDLoss()({"student": student}, label))


@pytest.mark.parametrize("name", ["logits", "reconstruction", "image", "subset", "posterior.0", "posterior.3"])
def test_a_missing_tensor_is_named(name: str) -> None:
    student, label = example()
    del student[name]
    with pytest.raises(ValueError, match=rf"UHVEDLoss needs prediction\['student'\]\['{name}'\]"):
        UHVEDLoss()({"student": student}, label)


def test_images_of_other_modalities_are_refused() -> None:
    student, label = example()
    student["image"] = student["image"][:, :1]
    with pytest.raises(ValueError, match=r"one shape, .*image is \(2, 1, 8, 8, 16\)\. Train with all modalities"):
        UHVEDLoss()({"student": student}, label)


@pytest.mark.parametrize("weights", [{"reconstruction": -0.1}, {"divergence": float("nan")}])
def test_a_weight_that_is_negative_or_not_finite_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"UHVEDLoss expects {next(iter(weights))} to be a finite number, 0 or more"):
        UHVEDLoss(**weights)


def test_the_repr_tells_its_weights() -> None:
    assert "reconstruction: 0.1, divergence: 0.25" in repr(UHVEDLoss(divergence=0.25))
