"""Table 2, "Boundary-Aware": the outline and the loss on it."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.regularizers import BoundaryLoss, boundary_terms, inner_border

SMOOTH = 1e-5


def _eroded(region: torch.Tensor, voxel: tuple[int, ...]) -> bool:
    """Whether the voxel and all its neighbours within the crop belong to the region."""
    ranges = [range(max(0, at - 1), min(side, at + 2)) for at, side in zip(voxel, region.shape, strict=True)]
    return all(region[neighbour] == 1 for neighbour in itertools.product(*ranges))


def _terms_in_loops(logits: torch.Tensor, border: torch.Tensor) -> tuple[float, float]:
    dices, entropies = [], []
    for b, c in itertools.product(range(logits.shape[0]), range(logits.shape[1])):
        edge = border[b, c].flatten().tolist()
        if not any(edge):
            continue
        p = [1 / (1 + math.exp(-z)) for z in logits[b, c].flatten().tolist()]
        overlap = sum(q * e for q, e in zip(p, edge, strict=True))
        size = sum(q * q for q in p) + sum(e * e for e in edge)
        dices.append(1 - (2 * overlap + SMOOTH) / (size + SMOOTH))
        off = edge.count(0.0) / len(edge)
        total = 0.0
        for q, e in zip(p, edge, strict=True):
            total -= off * math.log(q) if e else (1 - off) * math.log(1 - q)
        entropies.append(total / len(edge))
    return sum(dices) / len(dices), sum(entropies) / len(entropies)


@pytest.mark.parametrize("density", [0.5, 0.9, 0.97])
def test_the_border_is_the_region_minus_its_erosion(density: float) -> None:
    label = (torch.rand(2, 3, 6, 5, 7, generator=torch.Generator().manual_seed(0)) < density).float()
    border = inner_border(label)
    for b, c, *voxel in itertools.product(*map(range, label.shape)):
        expected = label[(b, c, *voxel)] == 1 and not _eroded(label[b, c], tuple(voxel))
        assert border[(b, c, *voxel)] == float(expected)


def test_a_region_has_no_border_where_the_crop_cuts_it() -> None:
    assert not inner_border(torch.ones(1, 1, 5, 5, 5)).any()
    half = torch.zeros(1, 1, 6, 4, 4)
    half[:, :, :3] = 1
    assert inner_border(half)[0, 0, :, 2, 2].tolist() == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float64])
def test_any_type_of_label_gives_the_same_border(label: torch.Tensor, dtype: torch.dtype) -> None:
    torch.testing.assert_close(inner_border(label.to(dtype)).float(), inner_border(label))


@pytest.mark.parametrize("shape", [(1, 1, 4, 4, 4), (2, 3, 5, 4, 6), (3, 2, 4, 6, 5)])
def test_the_terms_are_the_equation(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    border = (torch.rand(shape, generator=generator) < 0.2).double()
    border[-1, 0] = border[-1, 0] if shape[0] == 1 else 0  # a map without an outline is left out
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    dice, cross_entropy = boundary_terms(logits, border)
    assert (dice.item(), cross_entropy.item()) == pytest.approx(_terms_in_loops(logits, border), rel=1e-6)


def test_gradients_are_right() -> None:
    border = (torch.rand(2, 2, 3, 3, 3) < 0.3).double()
    border[0, 0] = 0
    logits = torch.randn(2, 2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: sum(boundary_terms(z, border)), logits)


def test_without_a_region_the_terms_and_their_gradient_are_exactly_zero() -> None:
    logits = torch.randn(2, 3, 4, 4, 4, requires_grad=True)
    dice, cross_entropy = boundary_terms(logits, torch.zeros(2, 3, 4, 4, 4))
    (dice + cross_entropy).backward()
    assert dice == 0
    assert cross_entropy == 0
    assert not logits.grad.any()


def test_an_empty_map_gets_no_gradient_beside_full_ones(label: torch.Tensor) -> None:
    logits = torch.randn(label.shape, requires_grad=True)
    sum(boundary_terms(logits, inner_border(label))).backward()
    assert logits.grad[0].any()
    assert not logits.grad[1].any()


def test_edge_and_rest_weigh_the_same_in_the_cross_entropy() -> None:
    """With one logit everywhere, the few voxels of the outline count as much as all others together."""
    border = torch.zeros(1, 1, 4, 4, 4)
    border[0, 0, 0, 0, :2] = 1
    logits = torch.zeros(1, 1, 4, 4, 4, requires_grad=True)
    boundary_terms(logits, border)[1].backward()
    torch.testing.assert_close(-logits.grad[border == 1].sum(), logits.grad[border == 0].sum())


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_the_loss_is_the_weighted_sum_of_its_parts(label: torch.Tensor, weight: float) -> None:
    student = {"logits": torch.randn(label.shape), "boundary_logits": torch.randn(label.shape)}
    loss = BoundaryLoss(weight)
    total = loss({"student": student}, label)
    dice, cross_entropy = boundary_terms(student["boundary_logits"], inner_border(label))
    segmentation = SegmentationLoss()(student["logits"], label)
    torch.testing.assert_close(total, segmentation + weight * (dice + cross_entropy))
    expected = {"segmentation": segmentation, "boundary_dice": dice, "boundary_cross_entropy": cross_entropy}
    torch.testing.assert_close(loss.parts, expected)


@pytest.mark.parametrize("value", [1e4, -1e4])
def test_extreme_logits_in_low_precision_stay_finite(label: torch.Tensor, value: float) -> None:
    logits = torch.full(label.shape, value, dtype=torch.bfloat16, requires_grad=True)
    loss = BoundaryLoss()({"student": {"logits": logits, "boundary_logits": logits}}, label)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


def test_meta_tensors_give_a_plain_loss(label: torch.Tensor) -> None:
    student = {name: MetaTensor(torch.zeros(label.shape)) for name in ("logits", "boundary_logits")}
    assert type(BoundaryLoss()({"student": student}, MetaTensor(label))) is torch.Tensor


def test_no_value_is_waited_for() -> None:
    logits = torch.zeros(1, 3, 4, 4, 4, device="meta", requires_grad=True)  # meta tensors have no values to wait for
    BoundaryLoss()({"student": {"logits": logits, "boundary_logits": logits}}, torch.zeros_like(logits)).backward()
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize("missing", ["logits", "boundary_logits"])
def test_a_missing_tensor_is_named(label: torch.Tensor, missing: str) -> None:
    student = {name: label for name in ("logits", "boundary_logits") if name != missing}
    with pytest.raises(ValueError, match=rf"BoundaryLoss needs prediction\['student'\]\['{missing}'\]"):
        BoundaryLoss()({"student": student}, label)


def test_a_label_with_other_regions_is_refused(label: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="one channel for each region"):
        BoundaryLoss()({"student": {"logits": label, "boundary_logits": label[:, :1]}}, label)


def test_a_weight_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="BoundaryLoss expects weight to be a finite number above 0, but it is 0"):
        BoundaryLoss(0)


def test_its_setting_is_in_its_description() -> None:
    assert "weight=1.0" in repr(BoundaryLoss())
