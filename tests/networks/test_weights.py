"""Checkpoints are tensors that fit, or one sentence; folded batch norm is the same function."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from pkdr_monai.baselines import UHVED, ClassesToRegions
from pkdr_monai.errors import InputError
from pkdr_monai.networks import (
    MonaiVNet,
    PatchVNet,
    begin_from,
    build_network,
    describe_network,
    fold_batch_norm,
    inference_copy,
    load_weights,
    read_tensors,
)
from pkdr_monai.regularizers import BoundaryVNet

NETWORKS = {
    "student": lambda: PatchVNet(1, init_filters=2),
    "teacher": lambda: PatchVNet(4, init_filters=3, patch_head=True, patch_size=8),
    "monai": lambda: MonaiVNet(3, patch_head=True),
    "boundary": lambda: BoundaryVNet(2, init_filters=2),
    "softmax": lambda: ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2)),
    "uhved": lambda: UHVED(["t2", "flair"], init_filters=2, modality_dropout=False),
}


class Malice:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def _network(in_channels: int = 1, **options: int) -> PatchVNet:
    return PatchVNet(in_channels, **{"init_filters": 2, **options})


def test_weights_come_back(tmp_path: Path) -> None:
    source = _network()
    torch.save(source.state_dict(), tmp_path / "model.pt")
    loaded = load_weights(_network(), tmp_path / "model.pt")
    torch.testing.assert_close(loaded.state_dict(), source.state_dict())


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at .*nowhere.pt. Train one first"):
        read_tensors(tmp_path / "nowhere.pt")


def test_another_number_of_modalities_is_named(tmp_path: Path) -> None:
    torch.save(_network(4).state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"stem.0.weight is \(2, 4, 3, 3, 3\) there and \(2, 1, 3, 3, 3\) here"):
        load_weights(_network(1), tmp_path / "model.pt")


def test_a_student_in_a_teachers_place_is_refused(tmp_path: Path) -> None:
    torch.save(_network().state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"lacks patch_head.output.weight"):
        load_weights(_network(patch_head=True), tmp_path / "model.pt")


def test_a_training_checkpoint_is_not_a_model(tmp_path: Path) -> None:
    torch.save({"distiller": {}, "epoch": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(InputError, match="not a plain state dict"):
        load_weights(_network(), tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("keep", [0, 10, 5000])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "model.pt"
    torch.save(_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.pt"):
        load_weights(_network(), path)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    torch.save({"weight": Malice(tmp_path / "executed")}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="may run code"):
        read_tensors(tmp_path / "model.pt")
    assert not (tmp_path / "executed").exists()


def test_a_training_begins_from_the_slices_of_its_modalities(tmp_path: Path) -> None:
    teacher = PatchVNet(4, init_filters=2, patch_head=True)
    torch.save({name: value.half() for name, value in teacher.state_dict().items()}, tmp_path / "model.pt")
    student = begin_from(PatchVNet(2, init_filters=2), tmp_path / "model.pt", [0, 2])
    torch.testing.assert_close(student.stem[0].weight, teacher.stem[0].weight[:, [0, 2]].half().float())
    torch.testing.assert_close(student.output.weight, teacher.output.weight.half().float())


def test_a_head_that_only_one_has_is_left_as_it_is(tmp_path: Path) -> None:
    torch.save(PatchVNet(4, init_filters=2).state_dict(), tmp_path / "model.pt")
    teacher = PatchVNet(4, init_filters=2, patch_head=True)
    before = {name: value.clone() for name, value in teacher.patch_head.state_dict().items()}
    begin_from(teacher, tmp_path / "model.pt", [0, 1, 2, 3])
    torch.testing.assert_close(dict(teacher.patch_head.state_dict()), before)


def test_weights_of_another_size_are_not_begun_from(tmp_path: Path) -> None:
    torch.save(PatchVNet(4, init_filters=4).state_dict(), tmp_path / "model.pt")
    with pytest.raises(InputError, match=r"cannot be begun from: stem\.0\.weight is \(4, 1, 3, 3, 3\) there"):
        begin_from(PatchVNet(1, init_filters=2), tmp_path / "model.pt", [2])


def test_folding_changes_nothing_but_rounding() -> None:
    torch.manual_seed(0)
    network = PatchVNet(2, init_filters=2, patch_head=True).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    folded = fold_batch_norm(copy.deepcopy(network))
    assert not any(isinstance(module, nn.BatchNorm3d) for module in folded.modules())
    image = torch.randn(1, 2, 16, 32, 16)
    torch.testing.assert_close(folded(image), network(image), rtol=1e-4, atol=1e-4)


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="eval mode only"):
        fold_batch_norm(PatchVNet(1, init_filters=2).train())


def test_a_copy_for_inference_is_frozen_and_leaves_the_network_alone() -> None:
    torch.manual_seed(0)
    network = PatchVNet(1, init_filters=2).train()
    before = copy.deepcopy(network.state_dict())
    quick = inference_copy(network, torch.float32)
    image = torch.randn(1, 1, 16, 16, 16)
    assert not any(parameter.requires_grad for parameter in quick.parameters())
    assert network.training
    torch.testing.assert_close(network.state_dict(), before)
    torch.testing.assert_close(quick(image), network.eval()(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_rebuilt_from_plain_data(name: str) -> None:
    network = NETWORKS[name]()
    description = json.loads(json.dumps(describe_network(network)))
    rebuilt = build_network(description)
    assert type(rebuilt) is type(network)
    assert describe_network(rebuilt) == description
    rebuilt.load_state_dict(network.state_dict())


@pytest.mark.parametrize(
    "target", ["os.system", "torch.nn.Conv3d", "pkdr_monai.files.write_json", "pkdr_monai.nowhere.Network"]
)
def test_nothing_but_a_network_of_the_package_is_built(target: str) -> None:
    with pytest.raises(InputError, match="is no network of pkdr_monai"):
        build_network({"_target_": target})


def test_arguments_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="'filters'"):
        build_network({"_target_": "pkdr_monai.networks.PatchVNet", "in_channels": 1, "filters": 2})


def test_a_network_that_forgets_an_argument_is_a_mistake_of_ours() -> None:
    class Forgetful(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with pytest.raises(ValueError, match="does not keep its argument 'width'"):
        describe_network(Forgetful(3))
