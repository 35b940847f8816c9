from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.baselines import KDNetLoss
from pkdr_monai.baselines.kdnet import bottleneck_kl, soft_target_loss
from pkdr_monai.baselines.softmax import supervised_loss

from .conftest import Prediction, random_prediction, regions, sigmoid, softmax

CHANNELS = {"regions": 3, "softmax": 4}
SHAPES = [(1, 2, 2, 2), (2, 3, 1, 4), (3, 1, 2, 1)]


def soft_target_by_hand(student: torch.Tensor, teacher: torch.Tensor, temperature: float, convention: str) -> float:
    """Cross-entropy plus Dice with the teacher's probabilities, one voxel after the other."""
    batch, channels, *sides = student.shape
    entropy, overlap, size = 0.0, [0.0] * channels, [0.0] * channels
    for b, *voxel in itertools.product(range(batch), *map(range, sides)):
        p, q = (
            [network[(b, c, *voxel)].item() / temperature for c in range(channels)] for network in (student, teacher)
        )
        if convention == "softmax":
            p, q = softmax(p), softmax(q)
            entropy -= sum(q[c] * math.log(p[c]) for c in range(channels))
        else:
            p, q = list(map(sigmoid, p)), list(map(sigmoid, q))
            entropy -= sum(q[c] * math.log(p[c]) + (1 - q[c]) * math.log(1 - p[c]) for c in range(channels))
        for c in range(channels):
            overlap[c] += p[c] * q[c]
            size[c] += p[c] ** 2 + q[c] ** 2
    dice = sum(1 - (2 * o + 1e-5) / (s + 1e-5) for o, s in zip(overlap, size, strict=True))
    return entropy / (batch * math.prod(sides)) + dice / (channels if convention == "softmax" else 1)


def kl_by_hand(student: torch.Tensor, teacher: torch.Tensor) -> float:
    """The divergence at every position of the bottleneck, one after the other."""
    batch, channels, *sides = student.shape
    positions = list(itertools.product(range(batch), *map(range, sides)))
    total = 0.0
    for b, *place in positions:
        p, q = (softmax([network[(b, c, *place)].item() for c in range(channels)]) for network in (student, teacher))
        total += sum(q[c] * math.log(q[c] / p[c]) for c in range(channels))
    return total / len(positions)


def example(
    shape: tuple[int, ...] = (2, 4, 3, 2),
    convention: str = "regions",
    dtype: torch.dtype = torch.float64,
    scale: float = 2.0,
) -> tuple[Prediction, torch.Tensor]:
    shapes = {"logits": (shape[0], CHANNELS[convention], *shape[1:]), "embedding": (shape[0], 5, 2, 1, 2)}
    return random_prediction(shapes, dtype, scale), regions(shape)


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("temperature", [1.0, 5.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_soft_target_term_is_the_sum_over_voxels(
    shape: tuple[int, ...], temperature: float, convention: str
) -> None:
    prediction, _ = example(shape, convention)
    student, teacher = prediction["student"]["logits"], prediction["teacher"]["logits"]
    expected = soft_target_by_hand(student, teacher, temperature, convention)
    assert soft_target_loss(student, teacher, temperature, convention).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 2, 1, 1, 1), (2, 5, 2, 1, 3), (3, 8, 2, 2, 2)])
def test_the_bottleneck_term_is_the_mean_over_positions(shape: tuple[int, ...]) -> None:
    student, teacher = (3 * torch.randn(shape, dtype=torch.float64) for _ in range(2))
    assert bottleneck_kl(student, teacher).item() == pytest.approx(kl_by_hand(student, teacher), rel=1e-9)


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize(("kd_weight", "alpha"), [(0.75, 10.0), (0.2, 1.0), (0.5, 100.0)])
def test_the_loss_is_the_weighted_sum_of_its_terms(kd_weight: float, alpha: float, convention: str) -> None:
    prediction, label = example(convention=convention)
    student, teacher = prediction["student"], prediction["teacher"]
    loss = KDNetLoss(kd_weight, alpha, 3.0, convention)
    terms = {
        "segmentation": supervised_loss(student["logits"], label, convention),
        "soft_target": soft_target_loss(student["logits"], teacher["logits"], 3.0, convention),
        "bottleneck_kl": bottleneck_kl(student["embedding"], teacher["embedding"]),
    }
    expected = kd_weight * terms["soft_target"] + (1 - kd_weight) * terms["segmentation"]
    torch.testing.assert_close(loss(prediction, label), expected + alpha * terms["bottleneck_kl"])
    assert {name: value.item() for name, value in loss.parts.items()} == {
        name: value.item() for name, value in terms.items()
    }


def test_the_weights_that_are_remembered_are_the_default() -> None:
    loss = KDNetLoss()
    assert loss.weights == {"segmentation": 0.25, "soft_target": 0.75, "bottleneck_kl": 10.0}
    assert loss.temperature == 5


def test_a_student_that_equals_its_teacher_has_no_divergence_and_no_gradient_from_it() -> None:
    embedding = torch.randn(2, 4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    loss = bottleneck_kl(embedding, embedding.detach().clone())
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(embedding.grad, torch.zeros_like(embedding))


@pytest.mark.parametrize("convention", CHANNELS)
def test_the_student_learns_and_the_teacher_does_not(convention: str) -> None:
    prediction, label = example(convention=convention)
    KDNetLoss(convention=convention)(prediction, label).backward()
    assert all(tensor.grad.any() for tensor in prediction["student"].values())
    assert all(tensor.grad is None for tensor in prediction["teacher"].values())


@pytest.mark.parametrize("convention", CHANNELS)
def test_gradients_are_right(convention: str) -> None:
    prediction, label = example((1, 2, 1, 2), convention)

    def loss(logits: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        student = {"logits": logits, "embedding": embedding}
        return KDNetLoss(convention=convention)({**prediction, "student": student}, label)

    assert torch.autograd.gradcheck(loss, tuple(prediction["student"].values()))


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_low_precision_and_extreme_predictions_stay_finite(convention: str, dtype: torch.dtype, scale: float) -> None:
    prediction, label = example(convention=convention, dtype=dtype, scale=scale)
    with torch.autocast("cpu", torch.bfloat16):
        total = KDNetLoss(convention=convention)(prediction, label)
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in prediction["student"].values())


@pytest.mark.parametrize("convention", CHANNELS)
def test_a_crop_without_tumour_is_finite(convention: str) -> None:
    prediction, label = example((1, 4, 3, 2), convention)
    total = KDNetLoss(convention=convention)(prediction, torch.zeros_like(label))
    total.backward()
    assert total.isfinite()
    assert prediction["student"]["logits"].grad.isfinite().all()


def test_meta_tensors_change_nothing() -> None:
    prediction, label = example()
    wrapped = {network: {name: MetaTensor(t) for name, t in outputs.items()} for network, outputs in prediction.items()}
    total = KDNetLoss()(wrapped, MetaTensor(label))
    assert type(total) is torch.Tensor
    assert torch.equal(total, KDNetLoss()(prediction, label))


def test_without_distillation_the_student_is_enough() -> None:
    prediction, label = example()
    total = KDNetLoss(kd_weight=0, alpha=0)({"student": {"logits": prediction["student"]["logits"]}}, label)
    assert torch.equal(total, supervised_loss(prediction["student"]["logits"], label, "regions"))


@pytest.mark.parametrize(
    ("network", "output"), list(itertools.product(["student", "teacher"], ["logits", "embedding"]))
)
def test_a_missing_tensor_is_named(network: str, output: str) -> None:
    prediction, label = example()
    del prediction[network][output]
    with pytest.raises(ValueError, match=rf"KDNetLoss needs prediction\['{network}'\]\['{output}'\]"):
        KDNetLoss()(prediction, label)


@pytest.mark.parametrize("output", ["logits", "embedding"])
def test_other_shapes_are_refused(output: str) -> None:
    prediction, label = example()
    prediction["teacher"][output] = prediction["teacher"][output][:1]
    with pytest.raises(ValueError, match=r"KDNetLoss expects student and teacher of one shape"):
        KDNetLoss()(prediction, label)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kd_weight": 1.2}, "kd_weight to be a finite number, 0 to 1"),
        ({"alpha": -1.0}, "alpha to be a finite number, 0 or more"),
        ({"temperature": 0.0}, "temperature to be a finite number above 0"),
        ({"convention": "sigmoid"}, "convention to be 'regions' or 'softmax'"),
    ],
)
def test_an_argument_out_of_range_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"KDNetLoss expects {message}"):
        KDNetLoss(**arguments)


def test_the_repr_tells_every_setting_that_changes_the_loss() -> None:
    text = repr(KDNetLoss(0.5, 3.0, 4.0, "softmax"))
    assert "soft_target: 0.5, bottleneck_kl: 3.0, temperature=4.0, convention='softmax'" in text
