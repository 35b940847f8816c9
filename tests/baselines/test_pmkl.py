"""PMKL: its terms redone by hand, and its head."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from pkdr_monai.baselines import DescriptorHead, PMKLLoss
from pkdr_monai.baselines.pmkl import descriptor_contrast, regularized_kd
from pkdr_monai.baselines.softmax import regions_to_classes, supervised_loss
from pkdr_monai.networks import Distiller, PatchVNet

from .conftest import Prediction, random_prediction, regions, sigmoid, softmax

CHANNELS = {"regions": 3, "softmax": 4}
SHAPES = [(1, 2, 2, 2), (2, 3, 1, 4), (3, 2, 2, 1)]


def binary_entropy(q: float, p: float) -> float:
    return -q * math.log(p) - (1 - q) * math.log(1 - p)


def rkd_of_regions(student: torch.Tensor, teacher: torch.Tensor, label: torch.Tensor, temperature: float) -> float:
    """Each region's weighted mean, one voxel after the other."""
    total = 0.0
    for c in range(3):
        above = below = 0.0
        for z_s, z_t, y in zip(student[:, c].flatten(), teacher[:, c].flatten(), label[:, c].flatten(), strict=True):
            z_s, z_t, y = z_s.item(), z_t.item(), y.item()
            gain = max(0.0, binary_entropy(y, sigmoid(z_s)) - binary_entropy(y, sigmoid(z_t)))
            gain *= (z_t > 0) == (y > 0)
            above += gain * binary_entropy(sigmoid(z_t / temperature), sigmoid(z_s / temperature))
            below += gain
        total += above / below if below else 0.0
    return total


def rkd_of_classes(student: torch.Tensor, teacher: torch.Tensor, label: torch.Tensor, temperature: float) -> float:
    """The weighted mean of the public code, one voxel after the other."""
    above = below = 0.0
    voxels = [tensor.movedim(1, -1).flatten(0, -2).tolist() for tensor in (student, teacher)]
    for z_s, z_t, y in zip(*voxels, regions_to_classes(label).flatten().tolist(), strict=True):
        gain = max(0.0, math.log(softmax(z_t)[y]) - math.log(softmax(z_s)[y])) * (z_t.index(max(z_t)) == y)
        q, p = (softmax([value / temperature for value in z]) for z in (z_t, z_s))
        above -= gain * sum(q[c] * math.log(p[c]) for c in range(4))
        below += gain
    return above / below if below else 0.0


def contrast_by_hand(student: torch.Tensor, teacher: torch.Tensor, margin: float) -> float:
    """One pair after the other."""
    total = 0.0
    for i, j in itertools.product(range(len(student)), repeat=2):
        d = math.sqrt(sum((a - b) ** 2 for a, b in zip(student[i].tolist(), teacher[j].tolist(), strict=True)))
        total += d**2 if i == j else max(0.0, margin - d) ** 2
    return total / len(student) ** 2


RKD = {"regions": rkd_of_regions, "softmax": rkd_of_classes}


def example(
    shape: tuple[int, ...] = (2, 4, 3, 2),
    convention: str = "regions",
    dtype: torch.dtype = torch.float64,
    scale: float = 2.0,
) -> tuple[Prediction, torch.Tensor]:
    prediction = random_prediction({"logits": (shape[0], CHANNELS[convention], *shape[1:])}, dtype, scale)
    descriptors = random_prediction({"descriptor": (shape[0], 16)}, dtype, 0.1)
    return {network: {**prediction[network], **descriptors[network]} for network in prediction}, regions(shape)


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("temperature", [1.0, 10.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_regularised_term_is_the_weighted_mean_over_voxels(
    shape: tuple[int, ...], temperature: float, convention: str
) -> None:
    prediction, label = example(shape, convention)
    student, teacher = (prediction[network]["logits"].detach() for network in ("student", "teacher"))
    expected = RKD[convention](student, teacher, label, temperature)
    assert expected > 0
    loss = regularized_kd(student, teacher, label, temperature, convention)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_the_contrastive_term_is_the_mean_over_pairs(batch: int, margin: float) -> None:
    student, teacher = (torch.nn.functional.normalize(torch.randn(batch, 3, dtype=torch.float64)) for _ in range(2))
    expected = contrast_by_hand(student, teacher, margin)
    assert descriptor_contrast(student, teacher, margin).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize(("rkd_weight", "ckd_weight"), [(0.5, 0.5), (2.0, 0.1)])
def test_the_loss_is_the_weighted_sum_of_its_terms(rkd_weight: float, ckd_weight: float, convention: str) -> None:
    prediction, label = example(convention=convention)
    student, teacher = prediction["student"], prediction["teacher"]
    loss = PMKLLoss(rkd_weight, ckd_weight, 4.0, 1.5, convention)
    terms = {
        "segmentation": supervised_loss(student["logits"], label, convention),
        "regularized_kd": regularized_kd(student["logits"], teacher["logits"], label, 4.0, convention),
        "contrastive_kd": descriptor_contrast(student["descriptor"], teacher["descriptor"], 1.5),
    }
    expected = terms["segmentation"] + rkd_weight * terms["regularized_kd"] + ckd_weight * terms["contrastive_kd"]
    torch.testing.assert_close(loss(prediction, label), expected)
    assert {name: value.item() for name, value in loss.parts.items()} == {
        name: value.item() for name, value in terms.items()
    }


def test_the_settings_of_the_public_code_are_the_default() -> None:
    loss = PMKLLoss()
    assert loss.weights == {"segmentation": 1.0, "regularized_kd": 0.5, "contrastive_kd": 0.5}
    assert (loss.temperature, loss.margin) == (10, 1)


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("reason", ["the teacher is wrong everywhere", "the student is better everywhere"])
def test_without_a_qualifying_voxel_it_is_exactly_zero(convention: str, reason: str) -> None:
    label = torch.zeros(2, 3, 2, 2, 2)
    right = torch.full((2, CHANNELS[convention], 2, 2, 2), -5.0)
    if convention == "softmax":
        right[:, 0] = 5
    student, teacher = (0 * right, -right) if "wrong" in reason else (2 * right, right)
    student.requires_grad_()
    loss = regularized_kd(student, teacher, label, 10.0, convention)
    loss.backward()
    assert loss == 0
    assert not student.grad.any()


def test_a_region_without_a_qualifying_voxel_leaves_the_others_alone() -> None:
    prediction, label = example()
    student, teacher = (prediction[network]["logits"].detach() for network in ("student", "teacher"))
    parts = [regularized_kd(student[:, [c]], teacher[:, [c]], label[:, [c]], 10.0) for c in range(3)]
    teacher[:, 2] = 4 - 8 * label[:, 2]  # wrong everywhere
    torch.testing.assert_close(regularized_kd(student, teacher, label, 10.0), parts[0] + parts[1])


def test_no_gradient_flows_through_the_choice_of_voxels() -> None:
    prediction, label = example()
    student, teacher = prediction["student"]["logits"], prediction["teacher"]["logits"].detach()
    (gradient,) = torch.autograd.grad(regularized_kd(student, teacher, label, 4.0), student)
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    advantage = (entropy(student, label, reduction="none") - entropy(teacher, label, reduction="none")).relu()
    advantage = (advantage * ((teacher > 0) == (label > 0))).detach()
    share = advantage / advantage.sum((0, 2, 3, 4), keepdim=True)
    torch.testing.assert_close(gradient, share * (torch.sigmoid(student / 4) - torch.sigmoid(teacher / 4)) / 4)


def test_a_batch_of_one_has_its_positive_pair_alone() -> None:
    student, teacher = torch.tensor([[0.6, 0.8]]), torch.tensor([[1.0, 0.0]])
    assert descriptor_contrast(student, teacher).item() == pytest.approx(0.4**2 + 0.8**2)


def test_equal_descriptors_have_a_finite_gradient() -> None:
    student = torch.ones(2, 4, requires_grad=True)
    descriptor_contrast(student, torch.ones(2, 4)).backward()
    assert student.grad.isfinite().all()


def test_gradients_of_the_contrast_are_right() -> None:
    student, teacher = (0.3 * torch.randn(3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(descriptor_contrast, (student.detach().requires_grad_(), teacher.detach()))


@pytest.mark.parametrize("convention", CHANNELS)
def test_the_student_and_both_heads_learn_and_the_teacher_does_not(convention: str) -> None:
    prediction, label = example(convention=convention)
    PMKLLoss(convention=convention)(prediction, label).backward()
    assert all(tensor.grad.any() for tensor in prediction["student"].values())
    assert prediction["teacher"]["logits"].grad is None
    assert prediction["teacher"]["descriptor"].grad.any()


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_low_precision_and_extreme_predictions_stay_finite(convention: str, dtype: torch.dtype, scale: float) -> None:
    prediction, label = example(convention=convention, dtype=dtype, scale=scale)
    with torch.autocast("cpu", torch.bfloat16):
        total = PMKLLoss(convention=convention)(prediction, label)
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in prediction["student"].values())


@pytest.mark.parametrize("convention", CHANNELS)
def test_a_crop_without_tumour_is_finite(convention: str) -> None:
    prediction, label = example((1, 4, 3, 2), convention)
    total = PMKLLoss(convention=convention)(prediction, torch.zeros_like(label))
    total.backward()
    assert total.isfinite()
    assert prediction["student"]["logits"].grad.isfinite().all()


def test_meta_tensors_change_nothing() -> None:
    prediction, label = example()
    wrapped = {network: {name: MetaTensor(t) for name, t in outputs.items()} for network, outputs in prediction.items()}
    total = PMKLLoss()(wrapped, MetaTensor(label))
    assert type(total) is torch.Tensor
    assert torch.equal(total, PMKLLoss()(prediction, label))


@pytest.mark.parametrize(
    ("network", "output"), list(itertools.product(["student", "teacher"], ["logits", "descriptor"]))
)
def test_a_missing_tensor_is_named(network: str, output: str) -> None:
    prediction, label = example()
    del prediction[network][output]
    with pytest.raises(ValueError, match=rf"PMKLLoss needs prediction\['{network}'\]\['{output}'\]"):
        PMKLLoss()(prediction, label)


@pytest.mark.parametrize("output", ["logits", "descriptor"])
def test_other_shapes_are_refused(output: str) -> None:
    prediction, label = example()
    prediction["teacher"][output] = prediction["teacher"][output][:1]
    with pytest.raises(ValueError, match=r"PMKLLoss expects student and teacher of one shape"):
        PMKLLoss()(prediction, label)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rkd_weight": -1.0}, "rkd_weight to be a finite number, 0 or more"),
        ({"ckd_weight": float("nan")}, "ckd_weight to be a finite number, 0 or more"),
        ({"temperature": 0.0}, "temperature to be a finite number above 0"),
        ({"margin": 0.0}, "margin to be a finite number above 0"),
        ({"convention": "sigmoid"}, "convention to be 'regions' or 'softmax'"),
    ],
)
def test_an_argument_out_of_range_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"PMKLLoss expects {message}"):
        PMKLLoss(**arguments)


def test_the_repr_tells_every_setting_that_changes_the_loss() -> None:
    text = repr(PMKLLoss(0.1, 0.2, 4.0, 2.0, "softmax"))
    assert "regularized_kd: 0.1, contrastive_kd: 0.2, temperature=4.0, margin=2.0, convention='softmax'" in text


@pytest.mark.parametrize("shape", [(1, 3, 2, 2, 2), (4, 3, 5, 1, 2)])
def test_it_is_a_mean_two_layers_and_a_quotient_by_the_length(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)  # some hidden unit is on in every sample
    head, feature = DescriptorHead(3, 5, 4), torch.randn(shape)
    first, second = head.layers[0], head.layers[2]
    for sample, descriptor in zip(feature, head(feature), strict=True):
        mean = torch.stack([channel.sum() / channel.numel() for channel in sample])
        hidden = (first.weight @ mean + first.bias).clamp_min(0)
        vector = second.weight @ hidden
        torch.testing.assert_close(descriptor, vector / vector.square().sum().sqrt())


def test_the_widths_are_those_of_the_public_code() -> None:
    shapes = {name: tuple(value.shape) for name, value in DescriptorHead(16).named_parameters()}
    assert shapes == {"layers.0.weight": (32, 16), "layers.0.bias": (32,), "layers.2.weight": (16, 32)}


def test_a_descriptor_of_nothing_is_finite() -> None:
    head = DescriptorHead(2)
    nn.init.constant_(head.layers[0].bias, -1.0)  # no hidden unit is on
    feature = torch.zeros(1, 2, 2, 2, 2, requires_grad=True)
    descriptor = head(feature)
    descriptor.sum().backward()
    assert not descriptor.any()
    assert feature.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_averaged_in_float32(dtype: torch.dtype) -> None:
    feature = torch.full((1, 2, 64, 64, 64), 100.0, dtype=dtype)  # its sum is beyond float16's
    descriptor = DescriptorHead(2)(feature)
    assert descriptor.dtype == torch.float32
    assert descriptor.norm().item() == pytest.approx(1, rel=1e-5)


def test_autocast_still_gives_unit_vectors_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        descriptor = DescriptorHead(2)(torch.rand(3, 2, 4, 4, 4))
    assert descriptor.dtype == torch.float32
    torch.testing.assert_close(descriptor.norm(dim=1), torch.ones(3))


def test_both_heads_learn_and_the_teacher_does_not() -> None:
    student, teacher = PatchVNet(1, init_filters=2), PatchVNet(4, init_filters=2)
    heads = DescriptorHead(2), DescriptorHead(2)
    outputs = ("logits", "decoder_feature")
    distiller = Distiller(student, teacher, [0], {"descriptor": heads[0]}, {"descriptor": heads[1]}, outputs)
    prediction = distiller(torch.randn(2, 4, 16, 16, 16))
    (prediction["student"]["descriptor"] * prediction["teacher"]["descriptor"]).sum().backward()
    assert all(parameter.grad is not None for head in heads for parameter in head.parameters())
    assert student.stem[0].weight.grad.any()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_width_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive, got 16, 0 and 16"):
        DescriptorHead(16, 0)
