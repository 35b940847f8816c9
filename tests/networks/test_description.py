"""A network and its description say the same, for every network that can be deployed."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from pkdr_monai.baselines import UHVED, ClassesToRegions
from pkdr_monai.errors import InputError
from pkdr_monai.networks import MonaiVNet, PatchVNet, build_network, describe_network
from pkdr_monai.regularizers import BoundaryVNet

NETWORKS = {
    "student": lambda: PatchVNet(1, init_filters=2),
    "teacher": lambda: PatchVNet(4, init_filters=3, patch_head=True, patch_size=8),
    "monai": lambda: MonaiVNet(3, patch_head=True),
    "boundary": lambda: BoundaryVNet(2, init_filters=2),
    "softmax": lambda: ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2)),
    "uhved": lambda: UHVED(["t2", "flair"], init_filters=2, modality_dropout=False),
}


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
