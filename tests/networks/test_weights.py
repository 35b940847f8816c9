"""Checkpoints are tensors that fit, or one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.networks import PatchVNet, begin_from, load_weights, read_tensors


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
