"""Folded batch norm is the same function."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pkdr_monai.networks import PatchVNet, fold_batch_norm, inference_copy


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
