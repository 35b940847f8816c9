from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.baselines import ProtoKDLoss
from pkdr_monai.baselines.protokd import mean_kl, prototype_loss
from pkdr_monai.baselines.softmax import class_masks, supervised_loss

from .conftest import Prediction, random_prediction, regions, sigmoid, softmax

CHANNELS = {"regions": 3, "softmax": 4}
SHAPES = [(1, 2, 2, 2), (2, 3, 1, 4), (3, 1, 2, 1)]


def kl_by_hand(student: torch.Tensor, teacher: torch.Tensor, temperature: float, convention: str) -> float:
    """The divergence in every voxel, divided by the channels, one after the other."""
    batch, channels, *sides = student.shape
    total = 0.0
    for b, *voxel in itertools.product(range(batch), *map(range, sides)):
        p, q = (
            [network[(b, c, *voxel)].item() / temperature for c in range(channels)] for network in (student, teacher)
        )
        if convention == "softmax":
            p, q = softmax(p), softmax(q)
        else:
            p, q = list(map(sigmoid, p)), list(map(sigmoid, q))
            p, q = p + [1 - value for value in p], q + [1 - value for value in q]
        total += sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    return total / student.numel()


def example(
    shape: tuple[int, ...] = (2, 4, 3, 2),
    convention: str = "regions",
    dtype: torch.dtype = torch.float64,
    scale: float = 2.0,
) -> tuple[Prediction, torch.Tensor]:
    batch, *sides = shape
    shapes = {"logits": (batch, CHANNELS[convention], *sides), "decoder_feature": (batch, 5, *sides)}
    return random_prediction(shapes, dtype, scale), regions(shape)


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("temperature", [1.0, 10.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_pixel_distillation_is_the_mean_over_everything(
    shape: tuple[int, ...], temperature: float, convention: str
) -> None:
    prediction, _ = example(shape, convention)
    student, teacher = prediction["student"]["logits"], prediction["teacher"]["logits"]
    expected = kl_by_hand(student, teacher, temperature, convention)
    assert mean_kl(student, teacher, temperature, convention).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("missing_class", ["sample", "batch"])
@pytest.mark.parametrize(("kd_weight", "proto_weight"), [(10.0, 0.1), (0.5, 2.0)])
def test_the_loss_is_the_weighted_sum_of_its_terms(
    kd_weight: float, proto_weight: float, missing_class: str, convention: str
) -> None:
    prediction, label = example(convention=convention)
    label[1, 2] = 0  # no enhancing tumour in one sample
    student, teacher = prediction["student"], prediction["teacher"]
    loss = ProtoKDLoss(kd_weight, proto_weight, 4.0, missing_class, convention)
    features = student["decoder_feature"], teacher["decoder_feature"]
    terms = {
        "segmentation": supervised_loss(student["logits"], label, convention),
        "pixel_kd": mean_kl(student["logits"], teacher["logits"], 4.0, convention),
        "prototype": prototype_loss(*features, class_masks(label, convention), missing_class),
    }
    expected = terms["segmentation"] + kd_weight * terms["pixel_kd"] + proto_weight * terms["prototype"]
    torch.testing.assert_close(loss(prediction, label), expected)
    assert {name: value.item() for name, value in loss.parts.items()} == {
        name: value.item() for name, value in terms.items()
    }


def test_the_settings_of_the_public_code_are_the_default() -> None:
    loss = ProtoKDLoss()
    assert loss.weights == {"segmentation": 1.0, "pixel_kd": 10.0, "prototype": 0.1}
    assert loss.temperature == 10


@pytest.mark.parametrize("convention", CHANNELS)
def test_a_student_that_equals_its_teacher_has_nothing_to_distil(convention: str) -> None:
    prediction, label = example(convention=convention)
    loss = ProtoKDLoss(convention=convention)
    loss({"student": prediction["student"], "teacher": prediction["student"]}, label)
    assert loss.parts["pixel_kd"].item() == pytest.approx(0, abs=1e-12)
    assert loss.parts["prototype"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("convention", CHANNELS)
def test_the_student_learns_and_the_teacher_does_not(convention: str) -> None:
    prediction, label = example(convention=convention)
    ProtoKDLoss(convention=convention)(prediction, label).backward()
    assert all(tensor.grad.any() for tensor in prediction["student"].values())
    assert all(tensor.grad is None for tensor in prediction["teacher"].values())


@pytest.mark.parametrize("convention", CHANNELS)
def test_gradients_are_right(convention: str) -> None:
    prediction, label = example((1, 2, 1, 2), convention)

    def loss(logits: torch.Tensor, decoder_feature: torch.Tensor) -> torch.Tensor:
        student = {"logits": logits, "decoder_feature": decoder_feature}
        return ProtoKDLoss(convention=convention)({**prediction, "student": student}, label)

    assert torch.autograd.gradcheck(loss, tuple(prediction["student"].values()))


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_low_precision_and_extreme_predictions_stay_finite(convention: str, dtype: torch.dtype, scale: float) -> None:
    prediction, label = example(convention=convention, dtype=dtype, scale=scale)
    with torch.autocast("cpu", torch.bfloat16):
        total = ProtoKDLoss(convention=convention)(prediction, label)
    total.backward()
    assert total.dtype == torch.float32
    assert total.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in prediction["student"].values())


@pytest.mark.parametrize("convention", CHANNELS)
@pytest.mark.parametrize("missing_class", ["sample", "batch"])
def test_a_crop_without_tumour_is_finite(convention: str, missing_class: str) -> None:
    prediction, label = example((1, 4, 3, 2), convention)
    total = ProtoKDLoss(missing_class=missing_class, convention=convention)(prediction, torch.zeros_like(label))
    total.backward()
    assert total.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in prediction["student"].values())


def test_meta_tensors_change_nothing() -> None:
    prediction, label = example()
    wrapped = {network: {name: MetaTensor(t) for name, t in outputs.items()} for network, outputs in prediction.items()}
    total = ProtoKDLoss()(wrapped, MetaTensor(label))
    assert type(total) is torch.Tensor
    assert torch.equal(total, ProtoKDLoss()(prediction, label))


@pytest.mark.parametrize(
    ("network", "output"), list(itertools.product(["student", "teacher"], ["logits", "decoder_feature"]))
)
def test_a_missing_tensor_is_named(network: str, output: str) -> None:
    prediction, label = example()
    del prediction[network][output]
    with pytest.raises(ValueError, match=rf"ProtoKDLoss needs prediction\['{network}'\]\['{output}'\]"):
        ProtoKDLoss()(prediction, label)


def test_logits_of_other_shapes_are_refused() -> None:
    prediction, label = example()
    prediction["teacher"]["logits"] = prediction["teacher"]["logits"][:, :2]
    with pytest.raises(ValueError, match=r"ProtoKDLoss expects student and teacher of one shape"):
        ProtoKDLoss()(prediction, label)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kd_weight": -1.0}, "kd_weight to be a finite number, 0 or more"),
        ({"proto_weight": float("inf")}, "proto_weight to be a finite number, 0 or more"),
        ({"temperature": -2.0}, "temperature to be a finite number above 0"),
        ({"missing_class": "class"}, "missing_class to be 'sample' or 'batch'"),
        ({"convention": "sigmoid"}, "convention to be 'regions' or 'softmax'"),
    ],
)
def test_an_argument_out_of_range_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"ProtoKDLoss expects {message}"):
        ProtoKDLoss(**arguments)


def test_the_repr_tells_every_setting_that_changes_the_loss() -> None:
    text = repr(ProtoKDLoss(1.0, 2.0, 3.0, "batch", "softmax"))
    assert "pixel_kd: 1.0, prototype: 2.0, temperature=3.0, missing_class='batch', convention='softmax'" in text
