"""MONAI's own checks of a bundle's network, each in a process that finds the code of the bundle before any other."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json
from pkdr_monai.packaging.comparison import MAX_LOGIT_DIFFERENCE

__all__ = ["check_network", "check_torchscript"]

NETWORK = "network_def"
CONFIGS = ("--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json")
SHAPE = (32, 16, 33)


def check_network(root: Path) -> None:
    """Check that the network takes and gives what the metadata says, by MONAI's ``verify_net_in_out``.

    Args:
        root: the bundle's folder.

    Raises:
        InputError: when it does not, or cannot be built.
    """
    _monai(root, "verify_net_in_out", NETWORK, *CONFIGS)


def check_torchscript(root: Path) -> None:
    """Check that MONAI's ``ckpt_export`` exports the weights, and that ``models/model.ts``, if there, gives the same.

    Args:
        root: the bundle's folder, with ``models/model.pt``.

    Raises:
        InputError: when the export fails, or the two differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ts"
        weights = ("--ckpt_file", "models/model.pt", "--key_in_ckpt", "")
        _monai(root, "ckpt_export", NETWORK, "--filepath", str(path), *weights, *CONFIGS)
        provided = root / "models" / "model.ts"
        if not provided.is_file():
            return
        metadata = read_json(root / "configs" / "metadata.json")
        channels = metadata["network_data_format"]["inputs"]["image"]["num_channels"]
        image = torch.randn(1, channels, *SHAPE, generator=torch.Generator().manual_seed(0))
        difference = (_predict(provided, image) - _predict(path, image)).abs().max()
    if not difference <= MAX_LOGIT_DIFFERENCE:
        raise InputError(
            f"{root.name}: models/model.ts and models/model.pt are not one model: their logits differ by up to "
            f"{float(difference):.2g}. Build the bundle again."
        )


@torch.inference_mode()
def _predict(path: Path, image: torch.Tensor) -> torch.Tensor:
    try:
        return torch.jit.load(path, map_location="cpu").eval()(image)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{path.name} is no TorchScript of this network ({first}). Build the bundle again.") from error


def _monai(root: Path, check: str, *words: str) -> None:
    """Run a command of MONAI's in the bundle's folder."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "monai.bundle", check, *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{root.name}: MONAI's {check} refused it: {last}")
