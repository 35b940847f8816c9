"""MONAI's own checks and exports work on the bundle as it is."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.bundle import ckpt_export, verify_net_in_out

from pkdr_monai.networks import PatchVNet, load_weights

from .conftest import CONFIGS

INFERENCE, METADATA = str(CONFIGS / "inference.json"), str(CONFIGS / "metadata.json")


def test_the_network_takes_and_gives_what_the_metadata_says() -> None:
    verify_net_in_out(net_id="network_def", meta_file=METADATA, config_file=INFERENCE, n=1, p=1, any=16)


def test_a_checkpoint_is_exported_to_torchscript(student: Path, tmp_path: Path) -> None:
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.ts"),
        ckpt_file=str(student / "models" / "model.pt"),
        meta_file=METADATA,
        config_file=INFERENCE,
        key_in_ckpt="",
        ckpt_dir=str(student / "models"),
    )
    network = load_weights(PatchVNet(1, init_filters=2), student / "models" / "model.pt").eval()
    image = torch.randn(1, 1, 32, 16, 17)
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts").eval()(image), network(image))
