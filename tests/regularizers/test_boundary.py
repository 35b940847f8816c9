"""Table 2, "Boundary-Aware": the outline and the loss on it."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.errors import InputError
from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.networks import Distiller, PatchVNet, fold_batch_norm, load_weights
from pkdr_monai.regularizers import BoundaryLoss, BoundaryVNet, boundary_terms, inner_border

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


@pytest.fixture
def network() -> BoundaryVNet:
    torch.manual_seed(0)
    return BoundaryVNet(4, init_filters=2).eval()


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 31, 33)])
def test_any_size_from_16_keeps_its_shape(network: BoundaryVNet, size: tuple[int, int, int]) -> None:
    features = network.features(torch.randn(1, 4, *size))
    shapes = {name: tuple(tensor.shape) for name, tensor in features.items()}
    assert shapes == {
        "logits": (1, 3, *size),
        "embedding": (1, network.embedding_channels, *(-(-side // 16) for side in size)),
        "decoder_feature": (1, network.feature_channels, *size),
        "boundary_logits": (1, 3, *size),
    }


def test_forward_and_features_agree(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 17, 16, 16)
    assert torch.equal(network(image), network.features(image)["logits"])


def test_the_segmentation_is_decoder_and_outline_fused(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 32, 16, 16)
    features = network.features(image)
    decoder = network.backbone(image)
    fused = network.fuse(torch.cat([decoder, features["boundary_logits"].sigmoid()], 1))
    torch.testing.assert_close(features["logits"], fused)


def test_a_gate_is_the_formula() -> None:
    gate = BoundaryVNet(1, init_filters=2).gates[-1]
    encoder, boundary = torch.randn(2, 1, 2, 4, 4, 4)
    narrow, single = gate.attention[0], gate.attention[2]
    attention = single(narrow(torch.cat([encoder, boundary], 1)).relu()).sigmoid()
    assert attention.shape == (1, 1, 4, 4, 4)
    torch.testing.assert_close(gate(encoder, boundary), attention * boundary)


def test_torchscript_gives_the_same_logits(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 33, 16, 20)
    torch.testing.assert_close(torch.jit.script(network)(image), network(image))


def test_folding_the_batch_norm_changes_nothing(network: BoundaryVNet) -> None:
    image = torch.randn(1, 4, 16, 16, 32)
    expected = network(image)
    torch.testing.assert_close(fold_batch_norm(network)(image), expected, rtol=1e-4, atol=1e-5)


def test_every_parameter_trains_even_without_any_tumour(image: torch.Tensor) -> None:
    distiller = Distiller(BoundaryVNet(4, init_filters=2)).train()
    BoundaryLoss()(distiller(image), torch.zeros(2, 3, *image.shape[2:])).backward()
    assert [name for name, p in distiller.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_edge_term_teaches_the_encoder_and_not_the_decoder(image: torch.Tensor) -> None:
    network = BoundaryVNet(4, init_filters=2).train()
    network.features(image)["boundary_logits"].square().sum().backward()
    assert network.backbone.stem[0].weight.grad.any()
    assert all(parameter.grad is None for parameter in network.backbone.up.parameters())


def test_its_weights_are_a_deployable_checkpoint(network: BoundaryVNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    again = load_weights(BoundaryVNet(4, init_filters=2), tmp_path / "model.pt").eval()
    image = torch.randn(1, 4, 16, 16, 16)
    assert torch.equal(again(image), network(image))


def test_its_weights_are_not_mistaken_for_a_plain_networks(network: BoundaryVNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match="written by another network"):
        load_weights(PatchVNet(4, init_filters=2), tmp_path / "model.pt")


def test_the_parameters_it_adds_are_the_documented_16_per_cent() -> None:
    plain, ours = (sum(p.numel() for p in net.parameters()) for net in (PatchVNet(4), BoundaryVNet(4)))
    assert round(100 * (ours / plain - 1)) == 16


def test_unfit_images_and_channels_are_refused(network: BoundaryVNet) -> None:
    with pytest.raises(ValueError, match=r"expected an image of shape \(B, 4, X, Y, Z\)"):
        network(torch.zeros(1, 1, 16, 16, 16))
    with pytest.raises(ValueError, match="must be positive, got 4, 3 and 0"):
        BoundaryVNet(4, init_filters=0)


def test_bfloat16_training_on_thin_crops_is_refused_on_the_cpu(network: BoundaryVNet) -> None:
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(InputError, match="wrong gradients"):
        network.train().features(torch.zeros(2, 4, 32, 16, 16))
