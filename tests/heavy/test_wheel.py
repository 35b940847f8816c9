"""The wheel and the sdist are built, checked, and the wheel is used in an environment outside the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import pkdr_monai
from pkdr_monai.phantom import write_cohort

from ..bundle.conftest import ROOT

WEIGHTS = [ROOT / "bundle" / "models" / name for name in ("model.pt", "model.json")]
DATA = "share/pkdr_monai/models"


def _run(*words: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment that has the wheel; all that it needs is found where it is now."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    programs = folder / "bin"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", programs / "python")
    _run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder.parent)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    present = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    (site_packages / "present.pth").write_text("\n".join(present) + "\n", encoding="utf-8")
    return programs


def test_wheel_and_sdist_pass_the_check_of_an_index(built: Path) -> None:
    assert len(list(built.iterdir())) == 2
    _run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), cwd=built)


def test_both_hold_every_file_of_the_package_and_the_licence(built: Path, wheel: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pkdr_monai").rglob("*") if path.is_file()}
    files = {file for file in files if "__pycache__" not in file}
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert files == {name for name in packed if name.startswith("pkdr_monai/")}
    assert any(name.endswith("licenses/LICENSE") for name in packed)
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    assert files | {"LICENSE", "README.md", "CHANGELOG.md", "setup.cfg", "pyproject.toml"} <= sources


def test_pkdr_info_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = _run(installed / "python", "-c", "import pkdr_monai; print(pkdr_monai.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    facts = json.loads(_run(installed / "pkdr", "info", "--json", cwd=tmp_path))
    assert facts["version"] == pkdr_monai.__version__
    assert bool(facts["models"]) == all(path.is_file() for path in WEIGHTS)


@pytest.mark.skipif(not all(path.is_file() for path in WEIGHTS), reason="the checkout has no weights to put in a wheel")
def test_pkdr_predict_segments_a_scan_with_the_weights_of_the_wheel(
    installed: Path, wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.namelist()
    assert all(any(name.endswith(f"{DATA}/{path.name}") for name in packed) for path in WEIGHTS)
    (case,) = write_cohort(tmp_path / "scans", cases=1, shape=(40, 40, 32), spacing=(6, 6, 6))
    (scan,) = case.glob("*_flair.nii.gz")
    _run(installed / "pkdr", "predict", "--flair", scan, "--output", tmp_path / "out", "--quiet", cwd=tmp_path)
    assert len(list((tmp_path / "out").glob("*/*_seg.nii.gz"))) == 1
