"""Several processes train as one would, and a process that dies takes nothing with it but the epoch at hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from pkdr_monai.losses import PKDRLoss
from pkdr_monai.networks import Distiller, PatchSelectionHead, PatchVNet, Projector

from ..bundle.conftest import ROOT, Bundle
from .conftest import weights

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def _distiller() -> Distiller:
    """Return student, teacher and heads as train.json has them; batch norm stands still: each process has its own."""
    torch.manual_seed(0)
    student, teacher, projector = (
        PatchVNet(1, init_filters=2),
        PatchVNet(4, init_filters=2, patch_head=True),
        Projector(32),
    )
    heads = {"patch_logits": PatchSelectionHead(32), "projection": projector}
    distiller = Distiller(student, teacher, [2], heads, {"projection": projector}).train()
    for module in distiller.modules():
        if isinstance(module, nn.BatchNorm3d | nn.Dropout3d):
            module.eval()
    return distiller


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return two crops, each with tumour and without."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(2, 4, 32, 32, 16, generator=generator)
    label = torch.zeros(2, 3, 32, 32, 16)
    label[0, :, 2:12, 3:9, 4:8] = 1
    label[1, :, 20:30, 3:9, 4:8] = 1
    return image, label


def _gradients(module: nn.Module) -> list[torch.Tensor]:
    return [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in module.parameters()]


def _process(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    network = DistributedDataParallel(_distiller())
    image, label = (part[rank : rank + 1] for part in _batch())
    PKDRLoss()(network(image), label).backward()
    torch.save(_gradients(network.module), Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


def test_two_processes_have_the_gradient_of_one(tmp_path: Path) -> None:
    spawn(_process, (str(tmp_path),), nprocs=2)
    network, (image, label) = _distiller(), _batch()
    for crop in range(2):
        (PKDRLoss()(network(image[crop : crop + 1]), label[crop : crop + 1]) / 2).backward()
    expected = _gradients(network)
    assert sum(bool(gradient.any()) for gradient in expected) > 20
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def _start(bundle: Bundle, output_dir: Path, *launcher: str, resume: bool = False) -> subprocess.Popen[str]:
    configs = [f"bundle/configs/{name}.json" for name in ("train", "train_teacher", "multi_gpu_train")]
    options = bundle.options(output_dir=output_dir, batch_size=1, max_epochs=4, resume=resume)
    words = ["-m", "monai.bundle", "run", "training", "--config_file", str(configs)]
    words += [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # docs/training.md says why
    return subprocess.Popen(
        [sys.executable, *LAUNCHER, *launcher, *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _workers(launcher: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            if parent == launcher and b"monai.bundle" in command:
                found.append(int(entry.name))
    return sorted(found)


def _kill_one(process: subprocess.Popen[str], output_dir: Path) -> None:
    """Kill the second process after the first epoch's checkpoint."""
    deadline = time.monotonic() + 240
    while not (output_dir / "models" / "checkpoint.pt").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(_workers(process.pid)[-1], signal.SIGKILL)


@pytest.fixture(scope="module")
def undisturbed(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes that nothing befell."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    with _start(bundle, folder) as process:
        output = process.communicate(timeout=400)[0]
    assert process.returncode == 0, output
    return folder


def test_a_process_that_dies_ends_the_run_and_resuming_finishes_it(
    bundle: Bundle, undisturbed: Path, tmp_path: Path
) -> None:
    with _start(bundle, tmp_path / "run") as process:
        _kill_one(process, tmp_path / "run")
        output = process.communicate(timeout=400)[0]
    assert process.returncode != 0
    assert "Signal 9 (SIGKILL)" in output
    assert not (tmp_path / "run" / "models" / "model_last.pt").exists()
    with _start(bundle, tmp_path / "run", resume=True) as process:
        output = process.communicate(timeout=400)[0]
    assert process.returncode == 0, output
    torch.testing.assert_close(weights(tmp_path / "run"), weights(undisturbed), rtol=0, atol=0)


def test_torchruns_restart_goes_on_by_itself(bundle: Bundle, undisturbed: Path, tmp_path: Path) -> None:
    with _start(bundle, tmp_path / "run", "--max-restarts=1", resume=True) as process:
        _kill_one(process, tmp_path / "run")
        output = process.communicate(timeout=400)[0]
    assert process.returncode == 0, output
    torch.testing.assert_close(weights(tmp_path / "run"), weights(undisturbed), rtol=0, atol=0)
