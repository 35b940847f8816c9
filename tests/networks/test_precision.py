"""bfloat16 on the CPU is refused where its gradients would be wrong, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pkdr_monai.errors import InputError
from pkdr_monai.networks.blocks import refuse_wrong_gradients


@pytest.mark.parametrize(("kernel_size", "side"), [(3, 32), (5, 64)])
def test_a_bottleneck_thinner_than_the_kernel_is_refused(kernel_size: int, side: int) -> None:
    network = nn.Identity().train()
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(InputError, match=rf"first side is under {side + 1} \(here {side}\)"):
            refuse_wrong_gradients(network, torch.zeros(1, 1, side, 16, 16), 16, kernel_size)
        refuse_wrong_gradients(network, torch.zeros(1, 1, side + 1, 16, 16), 16, kernel_size)


def test_inference_and_float32_are_right_with_any_size() -> None:
    image = torch.zeros(1, 1, 16, 16, 16)
    refuse_wrong_gradients(nn.Identity().train(), image, 16, 3)
    refuse_wrong_gradients(nn.Identity().eval(), image.bfloat16(), 16, 3)
    with torch.no_grad():
        refuse_wrong_gradients(nn.Identity().train(), image.bfloat16(), 16, 3)
