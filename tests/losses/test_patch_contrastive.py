from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses import PatchContrastiveLoss, patch_contrastive, patch_contrastive_terms

SHAPES = [(1, 4, 2, 2, 2), (3, 5, 1, 3, 4), (2, 1, 5, 1, 1)]
FORMS = {"dense": 2**62, "split": 0}


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with the masked matrix and with the blocks of negatives."""
    monkeypatch.setattr(patch_contrastive, "CPU_DENSE", FORMS[request.param])
    return request.param


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def equation_7(
    student: torch.Tensor, teacher: torch.Tensor, patch_label: torch.Tensor, temperature: float, negatives: str
) -> list[list[float]]:
    """The paper's fraction for every anchor, one negative after the other."""
    s, t = (embedding.flatten(2).transpose(1, 2).tolist() for embedding in (student, teacher))
    label = patch_label.flatten(1).tolist()
    batch, count = len(label), len(label[0])
    terms = [[0.0] * count for _ in range(batch)]
    for b, i in itertools.product(range(batch), range(count)):
        positive = math.exp(cosine(s[b][i], t[b][i]) / temperature)
        denominator = positive
        for other, j in itertools.product(range(batch) if negatives == "batch" else [b], range(count)):
            if label[other][j] != label[b][i]:
                denominator += math.exp(cosine(s[b][i], t[other][j]) / temperature)
        terms[b][i] = -math.log(positive / denominator)
    return terms


def example(shape: tuple[int, ...], share: float = 0.4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    patch_label = (torch.rand(shape[0], 1, *shape[2:], generator=generator) < share).float()
    return student.requires_grad_(), teacher.requires_grad_(), patch_label


@pytest.mark.parametrize("negatives", ["sample", "batch"])
@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_equation_7(form: str, shape: tuple[int, ...], temperature: float, negatives: str) -> None:
    student, teacher, patch_label = example(shape)
    terms = torch.tensor(equation_7(student, teacher, patch_label, temperature, negatives), dtype=torch.float64)
    arguments = student, teacher, patch_label
    torch.testing.assert_close(patch_contrastive_terms(*arguments, temperature, negatives), terms)
    torch.testing.assert_close(PatchContrastiveLoss(temperature, negatives)(*arguments), terms.mean())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_class_volume_adds_zero(form: str, share: float) -> None:
    student, teacher, patch_label = example((2, 4, 2, 2, 2), 2 * share - 0.5)
    loss = PatchContrastiveLoss()(student, teacher, patch_label)
    loss.backward()
    assert loss.item() == 0
    assert not student.grad.any()
    assert not teacher.grad.any()


def test_a_one_class_volume_leaves_the_others_of_the_batch_alone(form: str) -> None:
    student, teacher, patch_label = example((2, 4, 2, 2, 2))
    patch_label[0] = 0
    terms = patch_contrastive_terms(student, teacher, patch_label, 0.1)
    assert not terms[0].any()
    alone = patch_contrastive_terms(student[1:], teacher[1:], patch_label[1:], 0.1)
    torch.testing.assert_close(terms[1:], alone)


def test_negatives_from_the_batch_rescue_a_one_class_volume(form: str) -> None:
    student, teacher, patch_label = example((2, 4, 2, 2, 2))
    patch_label[0] = 0
    assert (patch_contrastive_terms(student, teacher, patch_label, 0.1, "batch")[0] > 0).all()


def test_teacher_vectors_of_the_anchors_own_class_do_not_matter(form: str) -> None:
    student, teacher, patch_label = example((1, 4, 2, 2, 3))
    foreground = patch_label.flatten() > 0
    before = patch_contrastive_terms(student, teacher, patch_label, 0.1).flatten()
    for anchor in range(foreground.numel()):
        others = (foreground == foreground[anchor]) & (torch.arange(foreground.numel()) != anchor)
        replaced = teacher.detach().flatten(2).clone()
        replaced[:, :, others] = torch.randn(1, 4, int(others.sum()), dtype=torch.float64)
        after = patch_contrastive_terms(student, replaced.reshape(teacher.shape), patch_label, 0.1).flatten()
        torch.testing.assert_close(after[anchor], before[anchor])


def test_it_starts_at_the_logarithm_of_the_candidates(form: str) -> None:
    same = torch.ones(1, 8, 4, 4, 4)
    patch_label = torch.zeros(1, 1, 4, 4, 4)
    patch_label[..., 0] = 1  # 16 of 64
    terms = patch_contrastive_terms(same, same, patch_label, 0.1)
    assert terms[0, 0].item() == pytest.approx(math.log(1 + 48), rel=1e-5)
    assert terms[0, 1].item() == pytest.approx(math.log(1 + 16), rel=1e-5)


def test_the_length_of_a_vector_does_not_matter(form: str) -> None:
    student, teacher, patch_label = example((1, 4, 2, 2, 2))
    loss = PatchContrastiveLoss()
    torch.testing.assert_close(loss(7 * student, 0.1 * teacher, patch_label), loss(student, teacher, patch_label))


@pytest.mark.parametrize("negatives", ["sample", "batch"])
@pytest.mark.parametrize("class_balanced", [False, True])
def test_gradients_are_right(form: str, negatives: str, class_balanced: bool) -> None:
    student, teacher, patch_label = example((2, 3, 2, 1, 3))
    loss = PatchContrastiveLoss(0.5, negatives, class_balanced=class_balanced)
    assert torch.autograd.gradcheck(lambda s, t: loss(s, t, patch_label), (student, teacher))


def test_a_shared_projector_learns_from_both_sides(form: str) -> None:
    student, teacher, patch_label = example((1, 4, 2, 2, 2))
    PatchContrastiveLoss()(student, teacher, patch_label).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad.abs().sum() > 0


def test_a_detached_teacher_gets_no_gradient(form: str) -> None:
    student, teacher, patch_label = example((1, 4, 2, 2, 2))
    attached = torch.autograd.grad(PatchContrastiveLoss()(student, teacher, patch_label), student)
    PatchContrastiveLoss(detach_teacher=True)(student, teacher, patch_label).backward()
    assert teacher.grad is None
    torch.testing.assert_close(student.grad, *attached)


def test_class_balance_averages_both_classes_apart(form: str) -> None:
    student, teacher, patch_label = example((2, 4, 2, 2, 3))
    terms = patch_contrastive_terms(student, teacher, patch_label, 0.1)
    foreground = patch_label.flatten(1) > 0
    expected = (terms[foreground].mean() + terms[~foreground].mean()) / 2
    balanced = PatchContrastiveLoss(class_balanced=True)(student, teacher, patch_label)
    torch.testing.assert_close(balanced, expected)


@pytest.mark.parametrize("share", [-1.0, 2.0])
def test_class_balance_without_a_class_is_zero(form: str, share: float) -> None:
    student, teacher, patch_label = example((2, 4, 2, 2, 3), share)
    assert PatchContrastiveLoss(class_balanced=True)(student, teacher, patch_label).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_computed_in_float32(form: str, dtype: torch.dtype) -> None:
    student, teacher, patch_label = example((1, 8, 2, 2, 2))
    student, teacher = (embedding.detach().to(dtype).requires_grad_() for embedding in (student, teacher))
    loss = PatchContrastiveLoss(0.01)(student, teacher, patch_label)
    loss.backward()
    expected = PatchContrastiveLoss(0.01)(student.float(), teacher.float(), patch_label)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, expected)
    assert student.grad.dtype == dtype
    assert student.grad.isfinite().all()


def test_autocast_changes_neither_the_value_nor_the_gradient(form: str) -> None:
    student, teacher, patch_label = example((1, 8, 2, 2, 2))
    student, teacher = student.float(), teacher.float()
    expected = PatchContrastiveLoss()(student, teacher, patch_label)
    gradients = torch.autograd.grad(expected, (student, teacher))
    with torch.autocast("cpu", torch.bfloat16):
        loss = PatchContrastiveLoss()(student, teacher, patch_label)
        inside = torch.autograd.grad(loss, (student, teacher))
    assert torch.equal(loss, expected)
    if form == "split":  # torch itself lowers the matrix products of a backward pass that runs inside autocast
        assert all(map(torch.equal, inside, gradients))


@pytest.mark.parametrize("size", [0.0, 1e-20, 1e4])
def test_vectors_of_any_length_stay_finite(form: str, size: float) -> None:
    embedding = torch.full((1, 4, 2, 2, 2), size, requires_grad=True)
    patch_label = torch.zeros(1, 1, 2, 2, 2)
    patch_label[..., 0] = 1
    loss = PatchContrastiveLoss()(embedding, embedding, patch_label)
    loss.backward()
    assert loss.isfinite()
    assert embedding.grad.isfinite().all()


@pytest.mark.parametrize("negatives", ["sample", "batch"])
def test_the_papers_size_waits_for_no_value(negatives: str) -> None:
    student = torch.zeros(4, 16, 6, 8, 8, device="meta", requires_grad=True)  # meta tensors have no values to wait for
    PatchContrastiveLoss(negatives=negatives)(student, student, student[:, :1]).backward()
    assert student.grad.shape == student.shape


@pytest.mark.parametrize("negatives", ["sample", "batch"])
def test_many_patches_make_no_square_matrix(watch, negatives: str) -> None:
    student, teacher, patch_label = example((1, 2, 20, 20, 20), 0.1)  # 8000 patches, 64 million pairs
    student, teacher = student.float(), teacher.float()
    with watch:
        PatchContrastiveLoss(negatives=negatives)(student, teacher, patch_label).backward()
    assert watch.largest <= 2**22


def test_meta_tensors_give_a_plain_loss(form: str) -> None:
    student, teacher, patch_label = example((1, 4, 2, 2, 2))
    loss = PatchContrastiveLoss()(MetaTensor(student), MetaTensor(teacher), MetaTensor(patch_label))
    assert type(loss) is torch.Tensor
    assert torch.equal(loss, PatchContrastiveLoss()(student, teacher, patch_label))


def test_unknown_negatives_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expects negatives to be one of sample, batch, but it is 'bach'"):
        PatchContrastiveLoss(negatives="bach")


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="PatchContrastiveLoss expects temperature to be a finite number above 0"):
        PatchContrastiveLoss(temperature=0.0)


def test_embeddings_of_other_shapes_are_refused() -> None:
    student, teacher, patch_label = example((1, 4, 2, 2, 2))
    with pytest.raises(ValueError, match="PatchContrastiveLoss expects student and teacher of one shape"):
        PatchContrastiveLoss()(student, teacher[:, :3], patch_label)


def test_patch_labels_with_three_channels_are_refused() -> None:
    student, teacher, patch_label = example((1, 4, 2, 2, 2))
    with pytest.raises(ValueError, match=r"one channel of foreground, to be \(1, 1, 2, 2, 2\).*\(1, 3, 2, 2, 2\)"):
        PatchContrastiveLoss()(student, teacher, patch_label.expand(1, 3, 2, 2, 2))
