from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.networks import PatchVNet
from pkdr_monai.packaging import verify as network_check
from pkdr_monai.packaging.exports import export_torchscript
from pkdr_monai.packaging.verify import check_network, check_torchscript


@pytest.mark.slow
def test_a_network_that_gives_other_channels_is_refused(unpacked: Path, edit_json: Callable) -> None:
    check_network(unpacked)
    path = unpacked / "configs" / "metadata.json"
    edit_json(path, lambda content: content["network_data_format"]["outputs"]["pred"].update(num_channels=4))
    with pytest.raises(InputError, match=r"verify_net_in_out refused it: ValueError: output channel number `3`"):
        check_network(unpacked)


@pytest.mark.slow
def test_the_code_that_is_checked_is_the_bundles(unpacked: Path) -> None:
    (unpacked / "pkdr_monai" / "networks" / "vnet.py").write_text("raise ImportError('the code of the bundle')\n")
    with pytest.raises(InputError, match="ImportError: the code of the bundle"):
        check_network(unpacked)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of MONAI's process, which takes seconds, the bundle's own TorchScript is the fresh export."""

    def export(root: Path, check: str, *words: str) -> None:
        source = root / "models" / "fresh.ts"
        Path(words[words.index("--filepath") + 1]).write_bytes(source.read_bytes())

    monkeypatch.setattr(network_check, "_monai", export)


def test_a_torchscript_of_other_weights_is_refused(unpacked: Path, exported: None) -> None:
    provided = unpacked / "models" / "model.ts"
    provided.rename(unpacked / "models" / "fresh.ts")
    check_torchscript(unpacked)  # it has no other
    torch.manual_seed(1)
    export_torchscript(PatchVNet(1, init_filters=2), provided, {}, {})
    with pytest.raises(InputError, match="are not one model: their logits differ"):
        check_torchscript(unpacked)
    provided.write_bytes((unpacked / "models" / "fresh.ts").read_bytes())
    check_torchscript(unpacked)
    provided.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"model\.ts is no TorchScript of this network"):
        check_torchscript(unpacked)
