from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from monai.data import MetaTensor

from pkdr_monai.losses import PixelKDLoss, pixel_kd, sigmoid_distillation

SHAPES = [(1, 3, 2, 2, 2), (2, 3, 3, 1, 4), (3, 1, 2, 2, 1)]


def equation_5(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """The paper's sum, one voxel after the other."""
    batch, classes, *sides = student.shape
    total = 0.0
    for b, c, *voxel in itertools.product(range(batch), range(classes), *map(range, sides)):
        p = 1 / (1 + math.exp(-student[(b, c, *voxel)].item() / temperature))
        q = 1 / (1 + math.exp(-teacher[(b, c, *voxel)].item() / temperature))
        total -= q * math.log(p) + (1 - q) * math.log(1 - p)
    return total / (batch * math.prod(sides))


def pair(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (5 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.to(dtype).requires_grad_(), teacher.to(dtype)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_equation_5(shape: tuple[int, ...], temperature: float) -> None:
    student, teacher = pair(shape)
    loss = PixelKDLoss(temperature)(student, teacher)
    assert loss.item() == pytest.approx(equation_5(student, teacher, temperature), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 24, 25, 2**20])
def test_the_size_of_the_pieces_changes_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(pixel_kd, "CPU_CHUNK", chunk)
    student, teacher = pair((2, 3, 2, 2, 2))
    loss = sigmoid_distillation(student, teacher, 4.0)
    (gradient,) = torch.autograd.grad(loss, student)
    literal = 3 * F.binary_cross_entropy(torch.sigmoid(student / 4), torch.sigmoid(teacher / 4))
    (expected,) = torch.autograd.grad(literal, student)
    torch.testing.assert_close(loss, literal)
    torch.testing.assert_close(gradient, expected)


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "contiguous": torch.Tensor.contiguous,
    "channels last": lambda tensor: tensor.contiguous(memory_format=torch.channels_last_3d),
    "cropped": lambda tensor: F.pad(tensor, (0, 1, 0, 2, 0, 3))[..., :4, :3, :2],
    "transposed": lambda tensor: tensor.transpose(2, 4).contiguous().transpose(2, 4),
}


@pytest.mark.parametrize(("of_student", "of_teacher"), list(itertools.product(LAYOUTS, repeat=2)))
def test_the_layout_in_memory_changes_nothing(of_student: str, of_teacher: str) -> None:
    student, teacher = pair((2, 3, 4, 3, 2))
    leaf = LAYOUTS[of_student](student.detach()).requires_grad_()
    loss = sigmoid_distillation(leaf, LAYOUTS[of_teacher](teacher), 10.0)
    expected = sigmoid_distillation(student, teacher, 10.0)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, leaf), torch.autograd.grad(expected, student))


def test_a_student_logit_seen_many_times_collects_its_gradients() -> None:
    leaf = torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64, requires_grad=True)
    teacher = torch.ones(1, 1, 2, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: sigmoid_distillation(z.expand(1, 1, 2, 2, 2), teacher, 1.0), leaf)


def test_gradients_are_right() -> None:
    student, teacher = pair((2, 3, 2, 1, 3))
    assert torch.autograd.gradcheck(lambda z: PixelKDLoss(2.0)(z, teacher), student)


def test_the_gradient_is_the_difference_of_the_probabilities() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    PixelKDLoss(10.0)(student, teacher).backward()
    difference = torch.sigmoid(student.detach() / 10) - torch.sigmoid(teacher / 10)
    torch.testing.assert_close(student.grad, difference / 10 / 8)


def test_the_teacher_gets_no_gradient() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    teacher.requires_grad_()
    PixelKDLoss()(student, teacher).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_a_student_that_equals_its_teacher_has_no_gradient() -> None:
    student, _ = pair((1, 3, 2, 2, 2))
    PixelKDLoss()(student, student.detach()).backward()
    assert not student.grad.any()


def test_the_backward_pass_may_run_twice() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    loss = PixelKDLoss()(student, teacher)
    first = torch.autograd.grad(loss, student, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, student), first)


def test_t_square_multiplies_by_the_squared_temperature() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    plain, scaled = PixelKDLoss(10.0)(student, teacher), PixelKDLoss(10.0, t_square=True)(student, teacher)
    torch.testing.assert_close(scaled, 100 * plain)


@pytest.mark.parametrize("of_student", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("of_teacher", [torch.float16, torch.bfloat16, torch.float32])
def test_any_pair_of_dtypes_is_compared_in_float32(of_student: torch.dtype, of_teacher: torch.dtype) -> None:
    student, teacher = pair((1, 3, 16, 16, 16), of_student)
    loss = PixelKDLoss()(student, teacher.to(of_teacher))
    loss.backward()
    assert loss.dtype == torch.float32
    assert student.grad.dtype == of_student
    expected = sigmoid_distillation(student.detach().double(), teacher.to(of_teacher).double(), 10.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("one", "other"), list(itertools.product([1e4, -1e4], repeat=2)))
def test_extreme_logits_stay_finite(one: float, other: float) -> None:
    student = torch.full((1, 3, 2, 2, 2), one, requires_grad=True)
    loss = PixelKDLoss()(student, torch.full_like(student, other))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_the_forward_pass_makes_nothing_of_the_size_of_the_logits(watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_kd, "CPU_CHUNK", 64)
    student, teacher = pair((2, 3, 8, 8, 8))
    with watch:
        PixelKDLoss()(student, teacher)
    assert watch.largest <= 64


def test_no_value_is_waited_for() -> None:
    student = torch.zeros(1, 3, 4, 4, 4, device="meta", requires_grad=True)  # meta tensors have no values to wait for
    PixelKDLoss()(student, torch.zeros_like(student)).backward()
    assert student.grad.shape == student.shape


def test_meta_tensors_give_a_plain_loss() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    loss = PixelKDLoss()(MetaTensor(student), MetaTensor(teacher))
    assert type(loss) is torch.Tensor
    loss.backward()
    assert student.grad.abs().sum() > 0


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"PixelKDLoss expects temperature to be a finite number above 0, but it is 0"):
        PixelKDLoss(temperature=0)


def test_crops_that_differ_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"student is \(1, 3, 4, 4, 4\) and teacher is \(1, 3, 2, 2, 2\)\. Both networks"
    ):
        PixelKDLoss()(torch.zeros(1, 3, 4, 4, 4), torch.zeros(1, 3, 2, 2, 2))


def box(shape: tuple[int, ...]) -> torch.Tensor:
    """A label whose channels hold nested boxes at the crop's corner; the last channel is empty where there are two."""
    label = torch.zeros(shape)
    for channel in range(shape[1] - 1 or 1):
        label[0, channel, : 2 + channel, :2, :2] = 1
    return label


def weighted_equation_5(
    student: torch.Tensor, teacher: torch.Tensor, label: torch.Tensor, tumour: float, border: float, width: int
) -> float:
    """The weighted sum, one voxel after the other, with the neighbourhood of each walked as well."""
    batch, classes, *sides = student.shape
    total = 0.0
    for c in range(classes):
        weights, terms = 0.0, 0.0
        for b, *voxel in itertools.product(range(batch), *map(range, sides)):
            ranges = [
                range(max(0, at - width), min(side, at + width + 1)) for at, side in zip(voxel, sides, strict=True)
            ]
            near = {label[(b, c, *other)].item() for other in itertools.product(*ranges)}
            weight = 1 + tumour * any(label[(b, k, *voxel)] > 0 for k in range(classes)) + border * (near == {0.0, 1.0})
            p = 1 / (1 + math.exp(-student[(b, c, *voxel)].item() / 2))
            q = 1 / (1 + math.exp(-teacher[(b, c, *voxel)].item() / 2))
            weights += weight
            terms -= weight * (q * math.log(p) + (1 - q) * math.log(1 - p))
        total += terms / weights
    return total


@pytest.mark.parametrize(("tumour", "border", "width"), [(3.0, 0.0, 1), (0.0, 5.0, 1), (4.0, 2.0, 2)])
@pytest.mark.parametrize("shape", [(2, 3, 5, 3, 4), (1, 2, 4, 4, 2)])
def test_weights_of_tumour_and_border_are_those_of_plain_loops(
    shape: tuple[int, ...], tumour: float, border: float, width: int
) -> None:
    student, teacher = pair(shape)
    label = box(shape)
    loss = PixelKDLoss(2.0, tumour=tumour, border=border, border_width=width)(student, teacher, label)
    expected = weighted_equation_5(student, teacher, label, tumour, border, width)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 2**20])
def test_weighted_gradients_are_right_in_pieces_of_any_size(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(pixel_kd, "CPU_CHUNK", chunk)
    student, teacher = pair((2, 3, 3, 2, 2))
    label = box((2, 3, 3, 2, 2))
    loss = PixelKDLoss(2.0, t_square=True, tumour=3.0, border=2.0)
    assert torch.autograd.gradcheck(lambda z: loss(z, teacher, label), student)


def test_layout_changes_nothing_where_voxels_weigh_unequally() -> None:
    student, teacher = pair((2, 3, 4, 3, 2))
    label, loss = box((2, 3, 4, 3, 2)), PixelKDLoss(tumour=3.0)
    moved = LAYOUTS["channels last"](student.detach())
    torch.testing.assert_close(loss(moved, teacher, LAYOUTS["transposed"](label)), loss(student, teacher, label))


def test_weights_need_the_label() -> None:
    student, teacher = pair((1, 3, 2, 2, 2))
    with pytest.raises(ValueError, match="PixelKDLoss needs the label where tumour or border weigh more"):
        PixelKDLoss(border=1.0)(student, teacher)


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"tumour": -1.0}, "tumour"), ({"border": math.inf}, "border"), ({"border_width": 0}, "border_width")],
)
def test_weights_that_are_none_are_refused(settings: dict[str, float], what: str) -> None:
    with pytest.raises(ValueError, match=f"PixelKDLoss expects {what}"):
        PixelKDLoss(**settings)
