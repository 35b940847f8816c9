"""The zip in other hands: downloaded, loaded and run by MONAI, where this package is not installed."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import monai.bundle.scripts
import nibabel as nib
import numpy as np
import pytest
from monai.bundle import download, download_large_files, push_to_hf_hub

from pkdr_monai.files import file_hash
from pkdr_monai.inference import Settings, predict
from pkdr_monai.packaging import build_bundle
from pkdr_monai.packaging.exports import BACKENDS, missing_packages

from .conftest import ROOT, Bundle

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:No hash value provided")]  # download takes none
NAME = "pkdr_brats_mri"

ELSEWHERE = """
import importlib.util, json, sys
from pathlib import Path

bundles, name, scans, output = sys.argv[1:]
root = Path(bundles) / name
assert importlib.util.find_spec("pkdr_monai") is None, "the package is installed here"

import torch
from monai.bundle import load, run

script, metadata, _ = load(name, bundle_dir=bundles, load_ts_module=True)
assert "pkdr_monai" not in sys.modules

sys.path.insert(0, str(root))
train = load(name, bundle_dir=bundles, workflow_type="train").eval()
inference = load(name, bundle_dir=bundles, workflow_type="inference").eval()
import pkdr_monai

image = torch.randn(1, 1, 32, 40, 33)
with torch.inference_mode():
    expected = train(image)
    torch.testing.assert_close(inference(image), expected)
    torch.testing.assert_close(script(image), expected, rtol=1e-4, atol=1e-4)

config = str(root / "configs" / "inference.json")
run(run_id="evaluating", config_file=config, bundle_root=str(root), dataset_dir=scans, output_dir=output)
print(json.dumps({"code": pkdr_monai.__file__, "version": metadata["version"]}))
"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def zipped(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dist") / f"{NAME}.zip"
    build_bundle(path, NAME, ROOT / "bundle", student, demonstration=True, check_shape=(40, 40, 32))
    return path


@pytest.fixture
def serve() -> Iterator:
    servers = []

    def start(folder: Path) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _without_the_package(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Run Python with the installed packages, but without ``site``, which is what finds an editable installation."""
    packages = os.pathsep.join(sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    environment = {**os.environ, "PYTHONPATH": packages, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-S", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_it_is_downloaded_loaded_and_run_where_the_package_is_not_installed(
    zipped: Path, serve, bundle: Bundle, tmp_path: Path
) -> None:
    download(name=NAME, bundle_dir=tmp_path / "http", url=f"{serve(zipped.parent)}/{NAME}.zip", progress=False)
    download(name=NAME, bundle_dir=tmp_path / "file", url=zipped.as_uri(), progress=False)
    root = tmp_path / "http" / NAME
    files = {path.relative_to(root): file_hash(path) for path in root.rglob("*") if path.is_file()}
    other = tmp_path / "file" / NAME
    assert files == {path.relative_to(other): file_hash(path) for path in other.rglob("*") if path.is_file()}

    case = next(path for path in bundle.cohort.glob("HGG/*") if path.is_dir())
    scan = case / f"{case.name}_t2.nii.gz"
    words = ["-c", ELSEWHERE, str(tmp_path / "http"), NAME, str(scan), str(tmp_path / "out")]
    result = _without_the_package(words, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    reported = json.loads(result.stdout.splitlines()[-1])
    assert Path(reported["code"]) == root / "pkdr_monai" / "__init__.py"
    assert reported["version"] == "0.1.0"
    segmentation = nib.load(tmp_path / "out" / f"{case.name}_t2_seg.nii.gz")
    assert segmentation.shape == nib.load(scan).shape
    assert segmentation.get_data_dtype() == np.uint8


@pytest.mark.skipif(bool(missing_packages("onnx") + missing_packages("openvino")), reason="an extra is not installed")
def test_every_backend_agrees_and_is_offered(zipped: Path, student: Path) -> None:
    record = json.loads((student / "models" / "exports.json").read_text())
    exact = [entry for entry in record["exports"] if entry["precision"] == "float32"]
    assert [entry["backend"] for entry in exact if entry["offered"]] == [*BACKENDS, "torch"]
    assert all(entry["max_logit_difference"] < 1e-4 for entry in exact)


@pytest.mark.skipif(bool(missing_packages("onnx") + missing_packages("openvino")), reason="an extra is not installed")
def test_pkdr_predict_segments_the_same_with_every_engine(
    zipped: Path, bundle: Bundle, student: Path, tmp_path: Path
) -> None:
    scan = next(bundle.cohort.glob("HGG/*/*_t2.nii.gz"))
    labels = {}
    for backend in ("torch", "onnx", "openvino"):
        settings = Settings(backend=backend, precision="float32")
        record = predict(output=tmp_path / backend, named={"t2": scan}, model=student, settings=settings)
        assert record["status"] == "finished", record["cases"]
        assert record["models"][0]["engine"] == f"{backend} in float32"
        (path,) = (tmp_path / backend).glob("*/*_seg.nii.gz")
        labels[backend] = np.asarray(nib.load(path).dataobj)
    for backend in ("onnx", "openvino"):
        assert (labels[backend] != labels["torch"]).mean() < 1e-4


def test_hosted_weights_are_fetched_by_monai(student: Path, serve, zipped: Path, tmp_path: Path) -> None:
    url = serve(student / "models")
    path = tmp_path / "dist" / f"{NAME}.zip"
    build_bundle(path, NAME, ROOT / "bundle", student, True, weights_url=url, check_shape=(40, 40, 32))
    download(name=NAME, bundle_dir=tmp_path / "bundles", url=path.as_uri(), progress=False)
    root = tmp_path / "bundles" / NAME
    assert not (root / "models" / "model.pt").exists()
    download_large_files(bundle_path=str(root))
    assert file_hash(root / "models" / "model.pt") == file_hash(student / "models" / "model.pt")
    assert file_hash(root / "models" / "model.ts") == file_hash(student / "models" / "model.ts")


def test_the_hub_gets_a_model_card_with_a_head_and_the_licence(
    zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``push_to_hf_hub`` as it is; in place of the hub, what notes the folder that it is given."""
    uploaded: list[Path] = []

    class Hub:
        def __init__(self, token: str | None) -> None: ...

        def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> None: ...

        def upload_folder(self, repo_id: str, folder_path: str) -> None:
            uploaded.append(Path(folder_path))

    monkeypatch.setattr(monai.bundle.scripts, "huggingface_hub", SimpleNamespace(HfApi=Hub))
    download(name=NAME, bundle_dir=tmp_path, url=zipped.as_uri(), progress=False)
    push_to_hf_hub(repo=f"someone/{NAME}", name=NAME, bundle_dir=str(tmp_path))
    assert uploaded == [tmp_path / NAME]
    card = (tmp_path / NAME / "README.md").read_text()
    assert card.startswith("---\ntags:\n- monai\n- medical\nlibrary_name: monai\nlicense: apache-2.0\n---\n")
    assert "> **Demonstration on synthetic data" in card
