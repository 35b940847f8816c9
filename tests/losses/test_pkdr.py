from __future__ import annotations

import copy
import math

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses import (
    DecoderHintLoss,
    PatchContrastiveLoss,
    PatchKDLoss,
    PatchSelectionLoss,
    PixelKDLoss,
    PKDRLoss,
    SegmentationLoss,
    patch_labels,
    pkdr,
)

TERMS = ["segmentation", "patch_selection", "pixel_kd", "patch_kd", "patch_contrastive"]
OUTPUTS = {"logits": (2, 3, 32, 16, 32), "patch_logits": (2, 3, 2, 1, 2), "projection": (2, 8, 2, 1, 2)}


def example(
    dtype: torch.dtype = torch.float32, scale: float = 2.0
) -> tuple[dict[str, dict[str, torch.Tensor]], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    prediction = {
        network: {
            name: (scale * torch.randn(shape, generator=generator)).to(dtype).requires_grad_()
            for name, shape in OUTPUTS.items()
        }
        for network in ("student", "teacher")
    }
    label = torch.zeros(2, 3, 32, 16, 32)
    label[:, :, 3:9, 4:12, 2:20] = 1  # in two of the four patches
    return prediction, label


def by_hand(prediction: dict[str, dict[str, torch.Tensor]], label: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every term from its own class."""
    student, teacher = prediction["student"], prediction["teacher"]
    foreground = patch_labels(label, 16).amax(1, keepdim=True)
    return {
        "segmentation": SegmentationLoss()(student["logits"], label),
        "patch_selection": PatchSelectionLoss(16)(student["patch_logits"], label),
        "pixel_kd": PixelKDLoss(10.0)(student["logits"], teacher["logits"]),
        "patch_kd": PatchKDLoss(5.0)(student["patch_logits"], teacher["patch_logits"]),
        "patch_contrastive": PatchContrastiveLoss(0.1)(student["projection"], teacher["projection"], foreground),
    }


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.5), (1.0, 0.1), (0.2, 3.0)])
def test_it_is_equation_9(alpha: float, beta: float) -> None:
    prediction, label = example()
    part = by_hand(prediction, label)
    expected = part["segmentation"] + alpha * part["patch_selection"]
    expected = expected + beta * (part["pixel_kd"] + part["patch_kd"] + part["patch_contrastive"])
    torch.testing.assert_close(PKDRLoss(alpha, beta)(prediction, label), expected)


def test_the_paper_weights_are_the_default() -> None:
    assert list(PKDRLoss().weights.items()) == list(zip(TERMS, [1.0, 0.7, 0.5, 0.5, 0.5], strict=True))


def test_the_parts_are_the_terms_before_weighting() -> None:
    prediction, label = example()
    loss = PKDRLoss(alpha=0.3, beta=0.2)
    loss(prediction, label)
    expected = by_hand(prediction, label)
    assert list(loss.parts) == TERMS
    for name, value in loss.parts.items():
        assert torch.equal(value, expected[name]), name
        assert not value.requires_grad


@pytest.mark.parametrize("missing", TERMS)
def test_without_a_term_the_rest_is_unchanged(missing: str) -> None:
    prediction, label = example()
    full, rest = PKDRLoss(), PKDRLoss(without=[missing])
    total = full(prediction, label)
    removed = full.weights[missing] * full.parts[missing]
    torch.testing.assert_close(rest(prediction, label), total - removed)
    assert list(rest.parts) == [name for name in TERMS if name != missing]


def test_no_weights_make_the_plain_unimodal_loss_of_the_logits_alone() -> None:
    prediction, label = example()
    logits = prediction["student"]["logits"]
    loss = PKDRLoss(alpha=0, beta=0)
    assert torch.equal(loss({"student": {"logits": logits}}, label), SegmentationLoss()(logits, label))
    assert list(loss.parts) == ["segmentation"]


def test_alpha_alone_makes_the_pretraining_loss_of_the_teacher() -> None:
    prediction, label = example()
    loss = PKDRLoss(alpha=1, beta=0)
    expected = by_hand(prediction, label)
    total = loss({"student": prediction["student"]}, label)
    torch.testing.assert_close(total, expected["segmentation"] + expected["patch_selection"])


@pytest.mark.parametrize("term", TERMS)
def test_every_term_alone_reaches_the_student_and_only_it(term: str) -> None:
    prediction, label = example()
    PKDRLoss(without=[name for name in TERMS if name != term])(prediction, label).backward()
    needed = {output for network, output in pkdr.NEEDS[term] if network == "student"}
    for name, tensor in prediction["student"].items():
        assert (tensor.grad is not None and bool(tensor.grad.any())) == (name in needed), name
    for name, tensor in prediction["teacher"].items():
        shared = term == "patch_contrastive" and name == "projection"  # the projector learns from both sides
        assert (tensor.grad is not None) == shared, name


def test_patch_labels_are_made_once_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(pkdr, "patch_labels", lambda *arguments: calls.append(1) or patch_labels(*arguments))
    PKDRLoss()(*example())
    assert len(calls) == 1
    PKDRLoss(alpha=0, beta=0)(*example())
    assert len(calls) == 1


def test_nothing_waits_for_a_value() -> None:
    prediction, label = example()
    prediction = {
        network: {name: t.detach().to("meta").requires_grad_() for name, t in outputs.items()}
        for network, outputs in prediction.items()
    }
    PKDRLoss()(prediction, label.to("meta")).backward()  # meta tensors have no values to wait for


def test_given_losses_take_the_place_of_the_default_ones() -> None:
    prediction, label = example()
    loss = PKDRLoss(
        segmentation=SegmentationLoss("hard"),
        patch_selection=PatchSelectionLoss(16, "hard"),
        pixel_kd=PixelKDLoss(2.0),
        patch_kd=PatchKDLoss(t_square=True),
        patch_contrastive=PatchContrastiveLoss(0.5, "batch"),
    )
    loss(prediction, label)
    default = by_hand(prediction, label)
    assert all(loss.parts[name] != default[name] for name in TERMS)


def test_the_patch_size_is_that_of_the_patch_selection_loss() -> None:
    prediction, label = example()
    prediction["student"]["patch_logits"] = torch.zeros(2, 3, 4, 2, 4)
    loss = PKDRLoss(alpha=1, beta=0, patch_selection=PatchSelectionLoss(patch_size=8))
    assert loss(prediction, label).isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_low_precision_and_extreme_predictions_stay_finite(dtype: torch.dtype, scale: float) -> None:
    prediction, label = example(dtype, scale)
    loss = PKDRLoss()
    total = loss(prediction, label)
    total.backward()
    assert total.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in prediction["student"].values())


def test_a_crop_without_tumour_is_finite_and_adds_no_contrast() -> None:
    prediction, label = example()
    loss = PKDRLoss()
    total = loss(prediction, torch.zeros_like(label))
    total.backward()
    assert loss.parts["patch_contrastive"] == 0
    assert total.isfinite()


def _labels(kind: str, batch: int) -> torch.Tensor:
    label = torch.zeros(batch, 3, 32, 16, 32)
    if kind == "all tumour":
        label[:] = 1
    elif kind == "one voxel":
        label[0, :, 3, 4, 5] = 1
    return label


VARIANTS = {
    "the paper's": PKDRLoss,
    "t_square": lambda: PKDRLoss(pixel_kd=PixelKDLoss(t_square=True), patch_kd=PatchKDLoss(t_square=True)),
    "hard Dice": lambda: PKDRLoss(
        segmentation=SegmentationLoss("hard"), patch_selection=PatchSelectionLoss(16, "hard")
    ),
    "straight-through Dice": lambda: PKDRLoss(
        segmentation=SegmentationLoss("straight_through"), patch_selection=PatchSelectionLoss(16, "straight_through")
    ),
    "negatives of the batch": lambda: PKDRLoss(patch_contrastive=PatchContrastiveLoss(negatives="batch")),
    "class balanced": lambda: PKDRLoss(patch_contrastive=PatchContrastiveLoss(class_balanced=True)),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["no tumour", "all tumour", "one voxel"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_every_variant_stays_finite_whatever_the_crop_holds(variant: str, kind: str, batch: int, scale: float) -> None:
    prediction, _ = example(scale=scale)
    prediction = {
        network: {name: tensor[:batch].detach().requires_grad_() for name, tensor in outputs.items()}
        for network, outputs in prediction.items()
    }
    total = VARIANTS[variant]()(prediction, _labels(kind, batch))
    total.backward()
    assert total.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in prediction["student"].values() if tensor.grad is not None)


def test_meta_tensors_change_nothing() -> None:
    prediction, label = example()
    wrapped = {network: {name: MetaTensor(t) for name, t in outputs.items()} for network, outputs in prediction.items()}
    total = PKDRLoss()(wrapped, MetaTensor(label))
    assert type(total) is torch.Tensor
    assert torch.equal(total, PKDRLoss()(prediction, label))


@pytest.mark.parametrize("network", ["student", "teacher"])
@pytest.mark.parametrize("output", list(OUTPUTS))
def test_a_missing_tensor_is_named_with_what_to_do(network: str, output: str) -> None:
    prediction, label = example()
    del prediction[network][output]
    with pytest.raises(ValueError, match=rf"needs prediction\['{network}'\]\['{output}'\].*without=\('\w+',\)"):
        PKDRLoss()(prediction, label)


def test_a_missing_teacher_is_named_with_what_came() -> None:
    prediction, label = example()
    del prediction["teacher"]
    with pytest.raises(ValueError, match=r"has only student/logits, .*Train beside a teacher, or .*'pixel_kd'"):
        PKDRLoss()(prediction, label)


def test_an_unknown_term_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"no term 'patch_kb' to leave out: its terms are segmentation, .*patch_contrastive"
    ):
        PKDRLoss(without=["patch_kb"])


def test_a_single_name_is_a_name_and_not_its_letters() -> None:
    assert "patch_kd" not in PKDRLoss(without="patch_kd").weights


@pytest.mark.parametrize("weights", [{"alpha": -0.1}, {"beta": float("nan")}, {"alpha": float("inf")}])
def test_a_weight_that_is_negative_or_not_finite_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"PKDRLoss expects {next(iter(weights))} to be a finite number, 0 or more"):
        PKDRLoss(**weights)


def test_a_loss_without_terms_is_refused() -> None:
    with pytest.raises(ValueError, match="PKDRLoss has no term left"):
        PKDRLoss(alpha=0, beta=0, without=["segmentation"])


def test_it_can_be_copied_after_a_call() -> None:
    prediction, label = example()
    loss = PKDRLoss()
    total = loss(prediction, label)
    assert torch.equal(copy.deepcopy(loss)(prediction, label), total)


def test_the_repr_tells_every_setting_that_changes_the_loss() -> None:
    """A run's record and its hash are made of it."""
    text = repr(PKDRLoss(alpha=0.5, pixel_kd=PixelKDLoss(t_square=True), without=("patch_kd",)))
    assert "patch_selection: 0.5" in text
    assert "temperature=10.0, t_square=True" in text
    assert "patch_kd:" not in text


def taught_by_hand(
    prediction: dict[str, dict[str, torch.Tensor]], label: torch.Tensor, complete: list[bool]
) -> dict[str, float]:
    """The distillation terms of Eq. 9 in plain loops: what each complete sample adds, over the whole batch."""
    student, teacher = (
        {name: tensor.detach().double() for name, tensor in prediction[network].items() if name != "complete"}
        for network in ("student", "teacher")
    )
    sums = {"pixel_kd": 0.0, "patch_kd": 0.0, "patch_contrastive": 0.0}
    for sample, taught in enumerate(complete):
        if not taught:
            continue
        for name, output, temperature in (("pixel_kd", "logits", 10.0), ("patch_kd", "patch_logits", 5.0)):
            for seen, target in zip(student[output][sample], teacher[output][sample], strict=True):
                p, q = torch.sigmoid(seen / temperature), torch.sigmoid(target / temperature)
                sums[name] += float(-(q * p.log() + (1 - q) * (1 - p).log()).mean())
        foreground = patch_labels(label, 16)[sample].amax(0).flatten().tolist()
        anchors = torch.nn.functional.normalize(student["projection"][sample].flatten(1), dim=0)
        keys = torch.nn.functional.normalize(teacher["projection"][sample].flatten(1), dim=0)
        for i, kind in enumerate(foreground):
            own = math.exp(float(anchors[:, i] @ keys[:, i]) / 0.1)
            others = sum(
                math.exp(float(anchors[:, i] @ keys[:, j]) / 0.1) for j, other in enumerate(foreground) if other != kind
            )
            sums["patch_contrastive"] -= math.log(own / (own + others)) / len(foreground)
    return {name: value / len(complete) for name, value in sums.items()}


@pytest.mark.parametrize("complete", [[True, True], [True, False], [False, True], [False, False]])
def test_the_teacher_teaches_on_complete_samples_alone(complete: list[bool]) -> None:
    prediction, label = example()
    label[1, :, 20:] = 1  # samples that differ in their patches' classes
    everyone = PKDRLoss()
    everyone(prediction, label)
    prediction["teacher"]["complete"] = torch.tensor(complete)
    loss = PKDRLoss()
    total = loss(prediction, label)
    for name, expected in taught_by_hand(prediction, label, complete).items():
        assert loss.parts[name].item() == pytest.approx(expected, rel=1e-4, abs=1e-7), name
    for name in ("segmentation", "patch_selection"):
        assert torch.equal(loss.parts[name], everyone.parts[name]), name
    expected_total = sum(weight * loss.parts[name] for name, weight in loss.weights.items())
    torch.testing.assert_close(total.detach(), expected_total)


def test_an_incomplete_sample_gets_no_gradient_from_the_teacher() -> None:
    prediction, label = example()
    prediction["teacher"]["complete"] = torch.tensor([False, True])
    PKDRLoss(without=["segmentation", "patch_selection"])(prediction, label).backward()
    for name in OUTPUTS:
        gradient = prediction["student"][name].grad
        assert not gradient[0].any(), name
        assert gradient[1].any(), name


def test_a_batch_without_a_complete_sample_still_has_a_graph_to_every_output() -> None:
    prediction, label = example()
    prediction["teacher"]["complete"] = torch.tensor([False, False])
    PKDRLoss()(prediction, label).backward()
    assert all(torch.isfinite(prediction["student"][name].grad).all() for name in OUTPUTS)


def test_pixel_distillation_with_weights_gets_the_label_of_the_complete_samples() -> None:
    prediction, label = example()
    pixel_kd = PixelKDLoss(2.0, tumour=3.0, border=1.0)
    loss = PKDRLoss(pixel_kd=pixel_kd)
    loss(prediction, label)
    logits = prediction["student"]["logits"], prediction["teacher"]["logits"]
    torch.testing.assert_close(loss.parts["pixel_kd"], pixel_kd(*logits, label).detach())
    prediction["teacher"]["complete"] = torch.tensor([True, False])
    loss(prediction, label)
    first = pixel_kd(*(tensor[:1] for tensor in logits), label[:1]).detach()
    torch.testing.assert_close(loss.parts["pixel_kd"], 0.5 * first)


def test_decoder_hint_joins_the_sum_with_the_weight_of_distillation() -> None:
    prediction, label = example()
    prediction["student"]["decoder_hint"], prediction["teacher"]["decoder_feature"] = torch.randn(2, 2, 4, 32, 16, 32)
    without, loss = PKDRLoss(beta=0.3), PKDRLoss(beta=0.3, decoder_hint=DecoderHintLoss())
    hint = DecoderHintLoss()(prediction["student"]["decoder_hint"], prediction["teacher"]["decoder_feature"])
    torch.testing.assert_close(loss(prediction, label), without(prediction, label) + 0.3 * hint)
    torch.testing.assert_close(loss.parts["decoder_hint"], hint)


def test_hint_that_is_missing_is_named_with_what_to_do() -> None:
    prediction, label = example()
    with pytest.raises(ValueError, match=r"\['decoder_hint'\] for its term 'decoder_hint'.*Give the student a Decoder"):
        PKDRLoss(decoder_hint=DecoderHintLoss())(prediction, label)
