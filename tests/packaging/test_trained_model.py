from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.networks import MonaiVNet
from pkdr_monai.packaging.trained_model import read_trained_model

from .conftest import write_run


def test_the_sizes_of_the_network_are_read_off_its_weights(tmp_path: Path) -> None:
    model = read_trained_model(write_run(tmp_path / "run", ("t1", "flair"), patch_head=True))
    assert model.modalities == ("t1", "flair")
    assert model.arguments == {"in_channels": 2, "out_channels": 3, "init_filters": 2, "patch_head": True}
    assert not model.load().training


@pytest.mark.slow
def test_monais_v_net_is_read_too(run: Path, edit_json: Callable) -> None:
    torch.save(MonaiVNet(1).state_dict(), run / "models" / "model.pt")
    edit_json(run / "run.json", lambda record: record["settings"].update(network="MonaiVNet"))
    assert isinstance(read_trained_model(run).load(), MonaiVNet)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, run: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*run\.json"):
        read_trained_model(tmp_path)
    (run / "run.json").write_text("{}")
    with pytest.raises(InputError, match="does not tell modalities, spacing, roi_size"):
        read_trained_model(run)


def test_a_network_that_no_bundle_holds_is_named(run: Path, edit_json: Callable) -> None:
    edit_json(run / "run.json", lambda record: record["settings"].update(network="UHVED"))
    with pytest.raises(InputError, match="trained a UHVED: a bundle can hold a PatchVNet or a MonaiVNet"):
        read_trained_model(run)


def test_weights_of_another_number_of_modalities_are_refused(run: Path, edit_json: Callable) -> None:
    edit_json(run / "run.json", lambda record: record["settings"].update(modalities=["t1", "t2"]))
    with pytest.raises(InputError, match="does not fit"):
        read_trained_model(run)


def test_weights_that_the_description_does_not_describe_are_refused(run: Path) -> None:
    (run / "models" / "model.json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(InputError, match=r"is not the file that .* describes"):
        read_trained_model(run)
