from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses import PatchSelectionLoss, patch_labels, patch_selection_loss

CROPS = [((32, 16, 48), 16), ((8, 8, 8), 4), ((20, 33, 16), 16), ((5, 7, 3), 2), ((4, 6, 5), 8), ((3, 2, 4), 1)]


def equation_1(label: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Visit every patch and count its voxels."""
    sides = [math.ceil(side / patch_size) for side in label.shape[2:]]
    result = torch.zeros(*label.shape[:2], *sides)
    for b, c, *patch in itertools.product(*map(range, result.shape)):
        cube = label[(b, c, *(slice(i * patch_size, (i + 1) * patch_size) for i in patch))]
        result[(b, c, *patch)] = float(cube.sum() > 0)
    return result


def equation_4(patch_logits: torch.Tensor, patch_label: torch.Tensor) -> float:
    """Eq. 2 plus Eq. 3, one patch after the other."""
    total = 0.0
    for c in range(patch_logits.shape[1]):
        entropy, overlap, squares = 0.0, 0.0, 0.0
        logits, labels = patch_logits[:, c].flatten().tolist(), patch_label[:, c].flatten().tolist()
        for u, y in zip(logits, labels, strict=True):
            p = 1 / (1 + math.exp(-u))
            entropy -= y * math.log(p) + (1 - y) * math.log(1 - p)
            overlap += p * y
            squares += p**2 + y**2
        total += entropy / len(logits) + 1 - (2 * overlap + 1e-5) / (squares + 1e-5)
    return total


def sparse_label(sides: tuple[int, ...], share: float = 0.01, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(2, 3, *sides, generator=generator) < share).float()


@pytest.mark.parametrize(("sides", "patch_size"), CROPS)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_patch_labels_are_equation_1(sides: tuple[int, ...], patch_size: int, share: float) -> None:
    label = sparse_label(sides, share)
    assert torch.equal(patch_labels(label, patch_size), equation_1(label, patch_size))


@pytest.mark.parametrize("corner", list(itertools.product([0, -1], repeat=3)))
def test_one_voxel_in_any_corner_makes_its_patch_positive(corner: tuple[int, ...]) -> None:
    label = torch.zeros(1, 1, 40, 33, 32)
    label[(0, 0, *corner)] = 1
    positive = patch_labels(label, 16)
    assert positive.sum() == 1
    assert positive[(0, 0, *corner)] == 1


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float64, torch.bfloat16])
def test_labels_of_any_dtype_pool_alike(dtype: torch.dtype) -> None:
    label = sparse_label((20, 33, 16))
    assert torch.equal(patch_labels(label.to(dtype), 16).float(), patch_labels(label, 16))


def test_a_meta_tensor_gives_plain_patch_labels() -> None:
    assert type(patch_labels(MetaTensor(sparse_label((16, 16, 16))), 16)) is torch.Tensor


def test_patch_labels_wait_for_no_value() -> None:
    assert patch_labels(torch.zeros(1, 3, 40, 32, 16, device="meta"), 16).shape == (1, 3, 3, 2, 1)


@pytest.mark.parametrize(("sides", "patch_size"), CROPS)
def test_the_loss_is_equation_4(sides: tuple[int, ...], patch_size: int) -> None:
    label = sparse_label(sides)
    patch_label = equation_1(label, patch_size)
    patch_logits = 2 * torch.randn(patch_label.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = PatchSelectionLoss(patch_size)(patch_logits, label)
    assert loss.item() == pytest.approx(equation_4(patch_logits, patch_label), rel=1e-6)


def test_labels_made_beforehand_give_the_same_loss() -> None:
    label, patch_logits = sparse_label((32, 32, 32)), torch.randn(2, 3, 2, 2, 2)
    loss, patch_label = PatchSelectionLoss(16), patch_labels(label, 16)
    assert torch.equal(loss(patch_logits, label, patch_label), loss(patch_logits, label))
    assert torch.equal(patch_selection_loss(patch_logits, patch_label), loss(patch_logits, label))


def test_a_crop_without_tumour_asks_for_no_patch() -> None:
    patch_logits = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    PatchSelectionLoss(16)(patch_logits, torch.zeros(1, 3, 32, 32, 32)).backward()
    assert (patch_logits.grad > 0).all()


def test_dice_may_be_hard() -> None:
    label, patch_logits = sparse_label((32, 32, 32), 1e-4), torch.randn(2, 3, 2, 2, 2)
    soft, hard = PatchSelectionLoss(16), PatchSelectionLoss(16, dice="hard")
    assert soft(patch_logits, label) != hard(patch_logits, label)


def test_gradients_are_right() -> None:
    label = sparse_label((8, 4, 4), 0.02)
    patch_logits = torch.randn(2, 3, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u: PatchSelectionLoss(4)(u, label), patch_logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_low_precision_and_extreme_logits_stay_finite(dtype: torch.dtype, size: float) -> None:
    patch_logits = torch.full((2, 3, 2, 2, 2), size, dtype=dtype, requires_grad=True)
    loss = PatchSelectionLoss(16)(patch_logits, sparse_label((32, 32, 32)))
    loss.backward()
    assert loss.isfinite()
    assert patch_logits.grad.isfinite().all()


def test_another_patch_size_than_the_stride_is_refused() -> None:
    with pytest.raises(ValueError, match=r"patch_label is \(2, 3, 4, 4, 4\)\. The patch size has to be the stride"):
        PatchSelectionLoss(8)(torch.zeros(2, 3, 2, 2, 2), torch.zeros(2, 3, 32, 32, 32))


@pytest.mark.parametrize("patch_size", [0, -16, 16.0, True])
def test_a_patch_size_that_is_no_whole_number_above_zero_is_refused(patch_size: object) -> None:
    with pytest.raises(ValueError, match="PatchSelectionLoss expects patch_size to be a whole number above 0"):
        PatchSelectionLoss(patch_size)
    with pytest.raises(ValueError, match="patch_labels expects patch_size"):
        patch_labels(torch.zeros(1, 3, 16, 16, 16), patch_size)


def test_a_label_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, C, X, Y, Z\), but it is \(1, 16, 16, 16\)"):
        patch_labels(torch.zeros(1, 16, 16, 16), 16)


def test_an_unknown_dice_is_refused() -> None:
    with pytest.raises(ValueError, match="PatchSelectionLoss expects dice to be one of"):
        PatchSelectionLoss(16, "firm")
