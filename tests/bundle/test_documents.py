"""What the documents show is typed: the tutorial as a whole, and every block of Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pkdr_monai.files import write_json
from pkdr_monai.packaging import build_bundle, exports
from pkdr_monai.packaging.archive import unpack_archive

from .conftest import ROOT, TINY, Bundle, type_in_a_shell

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CASE = "Phantom18_0000_1"
SMALLER = {  # than what the documents say
    "cases=24": "cases=1, shape=(40, 40, 32), spacing=(6.0, 6.0, 6.0)",
    "shape=(120, 120, 78), spacing=(2.0, 2.0, 2.0)": "shape=(40, 40, 32), spacing=(6.0, 6.0, 6.0)",
    "preprocessing((1, 1, 1))": "preprocessing((6, 6, 6))",
    "bundle/configs/demo.json": "tiny.json",
    "Brats18_2013_0_1": CASE,
    "bundle build": "bundle build --check_shape 40,40,32",
}
ABSENT = dict.fromkeys(("onnx", "openvino"), ("a_package_that_is_nowhere",))
DONE_BY_THE_FIXTURES = {"make demo-training", ". .venv/bin/activate"}


def _blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    return [code for kind, code in BLOCK.findall(text) if kind == language]


@pytest.fixture(scope="session")
def workplace(bundle: Bundle, teacher: Path, student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything is there that the documents speak of."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("bundle", "experiments", "pkdr_monai"):
        (folder / name).symlink_to(ROOT / name)
    runs = {"teacher": teacher, "pkdr_t2": student}
    for runs_folder in (folder / "runs", folder / "demo" / "runs"):
        for name, run in runs.items():
            shutil.copytree(run, runs_folder / name)
    shutil.copytree(bundle.cohort, folder / "demo" / "cohort")
    shutil.copy(bundle.data_list, folder / "demo" / "datalist.json")
    (folder / "BraTS2018").symlink_to(bundle.cohort)
    shutil.copy(bundle.data_list, folder / "brats2018.json")
    (folder / "scans").mkdir()
    shutil.copy(bundle.cohort / "HGG" / CASE / f"{CASE}_t2.nii.gz", folder / "scans" / "ann_t2.nii.gz")
    write_json(folder / "tiny.json", TINY | {"max_epochs": 1})
    return folder


@pytest.mark.slow
def test_the_tutorial_leads_from_nothing_to_a_report(workplace: Path) -> None:
    first, *commands = _blocks("docs/tutorial.md", "sh")
    assert set(first.splitlines()) == DONE_BY_THE_FIXTURES
    said = [type_in_a_shell(command, workplace) for command in commands]
    assert any("not a medical device" in text for text in said)
    demo = workplace / "demo"
    for result in (
        "check.html",
        "results/ann/ann_seg.nii.gz",
        "results/ann/preview.png",
        "results/ann/ann_uncertainty.nii.gz",
        "runs/pkdr_t2/report.html",
        "runs/pkdr_flair/models/model.pt",
        "runs/pkdr_flair/evaluation/metrics.csv",
        "pkdr_t2_demo.zip",
    ):
        assert (demo / result).is_file(), result
    models = json.loads((demo / "results" / "run.json").read_text())["models"]
    assert {model["name"] for model in models} == {"pkdr_t2", "pkdr_flair"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", ["docs/phantom.md", "docs/predict.md", "docs/report.md", "docs/speed.md", "docs/bundle.md"]
)
def test_every_block_of_python_runs(document: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if document == "docs/bundle.md":
        monkeypatch.setattr(exports, "NEEDS", exports.NEEDS | ABSENT)  # TorchScript alone takes a second
        name = "pkdr_brats_mri"
        path = workplace / f"{name}.zip"
        build_bundle(path, name, ROOT / "bundle", workplace / "runs" / "pkdr_t2", check_shape=(40, 40, 32))
        unpack_archive(path, workplace / "bundles")
    blocks = _blocks(document, "python")
    assert blocks
    for code in blocks:
        result = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], cwd=workplace, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr


def test_no_document_has_python_that_nothing_runs() -> None:
    """Some documents have tests of their own; the job in flare.md is run by tests/consumers.

    prepare.md has the lines for brainles-preprocessing, which fetches its weights from the web, and says that they were
    not tried: they compile.
    """
    run_elsewhere = {"README.md", "CONTRIBUTING.md", "docs/losses_elsewhere.md", "docs/flare.md", "docs/prepare.md"}
    for code in _blocks("docs/prepare.md", "python"):
        compile(code, "docs/prepare.md", "exec")
    documents = {
        path.relative_to(ROOT).as_posix()
        for folder in (".", "docs", "bundle/docs", "experiments", "benchmarks")
        for path in (ROOT / folder).glob("*.md")
        if "```python" in path.read_text(encoding="utf-8")
    }
    (mark,) = (mark for mark in test_every_block_of_python_runs.pytestmark if mark.name == "parametrize")
    assert documents - run_elsewhere == set(mark.args[1])
