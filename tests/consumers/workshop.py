"""What every consumer is tried with: a small trained bundle, and a virtual environment with the consumer in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from pkdr_monai.files import read_json

ROOT = Path(__file__).resolve().parents[2]
NAME = "pkdr_brats_mri"
TINY = (
    "--spacing=[6,6,6]", "--roi_size=[32,32,32]", "--init_filters=4", "--batch_size=2", "--max_epochs=5",
    "--num_workers=0",
)  # fmt: skip


class TrialError(Exception):
    """A consumer did not do what it should."""


def require(condition: bool, message: str) -> None:
    """End a trial with a message unless the condition holds."""
    if not condition:
        raise TrialError(message)


@dataclass(frozen=True)
class Workshop:
    """A folder for environments, for the bundle, and for what the trials leave behind.

    Args:
        folder: where all of it lies.
    """

    folder: Path

    @property
    def material(self) -> Path:
        """Folder of the cohort, the runs and the bundle's zip."""
        return self.folder / "material"

    @property
    def teacher(self) -> Path:
        """Weights of the teacher, which no bundle brings along."""
        return self.material / "runs" / "teacher" / "models" / "model.pt"

    def prepare(self) -> None:
        """Draw a synthetic cohort, train a teacher and a student of T2 on it, and build the bundle, from nothing."""
        shutil.rmtree(self.material, ignore_errors=True)
        self.material.mkdir(parents=True)
        self.cohort(self.material)
        data = ("--dataset_dir=cohort", "--data_list_file=datalist.json", *TINY)
        self._pkdr("train", "teacher", *data)
        self._pkdr("train", "student", "--modality=t2", *data)
        source = f"--source={ROOT / 'bundle'}"
        self._pkdr("bundle", "build", "--run=runs/pkdr_t2", "--demonstration", "--check_shape=40,40,32", source)

    def cohort(self, folder: Path, seed: int = 0) -> None:
        """Write ``cohort/`` and ``datalist.json`` into a folder."""
        demo = ("--cases=6", "--shape=40,40,32", "--spacing=6", f"--seed={seed}")
        self._pkdr("data", "demo", folder / "cohort", *demo)
        self._pkdr("data", "split", folder / "cohort", "--output", folder / "datalist.json")

    def cases(self) -> list[Path]:
        """Return the folders of the cohort's cases."""
        return sorted(path.parent for path in (self.material / "cohort").rglob("*_seg.nii.gz"))

    def bench(self, name: str) -> Path:
        """Return an empty folder for a trial."""
        folder = self.folder / "trials" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def unpack(self, folder: Path) -> Path:
        """Unpack the bundle into a folder and return its own."""
        with zipfile.ZipFile(self.material / "dist" / f"{NAME}.zip") as archive:
            archive.extractall(folder)
        return folder / NAME

    def shipped(self, folder: Path, name: str, modality: str) -> Path:
        """Unpack a bundle with the weights that come along, for one modality, and return its folder."""
        archive = folder.with_name(f"{name}.zip")
        source = f"--source={ROOT / 'bundle'}"
        self._pkdr("bundle", "build", "--name", name, "--modality", modality, "--output", archive.absolute(), source)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        return folder / name

    def patient(self, folder: Path) -> Path:
        """Write one synthetic patient, of a brain's size, and return the folder of the case."""
        demo = ("--cases=1", "--shape=120,120,78", "--spacing=2", "--seed=1")
        self._pkdr("data", "demo", folder.absolute(), *demo)
        return next(folder.rglob("*_seg.nii.gz")).parent

    def environment(self, name: str, *packages: str) -> Path:
        """Return the programs' folder of an environment with torch and these packages, made where it is missing."""
        folder = self.folder / "environments" / name
        done = folder / "installed"
        wanted = "\n".join((_torch(), *packages))
        if not done.is_file() or done.read_text() != wanted:
            venv.create(folder, clear=True, with_pip=True)
            pip = (folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check")
            log = self.folder / "environments" / f"{name}.log"
            run((*pip, _torch()), log)  # first and alone, so that the build of this machine's choice stays
            run((*pip, _torch(), *packages), log)
            done.write_text(wanted)
        return folder / "bin"

    def segment(self, scan: Path, bundle: Path, output: Path) -> np.ndarray:
        """Return the segmentation of a scan as MONAI makes it with the bundle: what a consumer has to find, too."""
        config = ("--config_file", bundle / "configs" / "inference.json", "--bundle_root", bundle)
        words = (sys.executable, "-m", "monai.bundle", "run", *config, "--dataset_dir", scan, "--output_dir", output)
        run(words, output / "log.txt", output, PYTHONPATH=str(bundle))
        label = read(output / scan.name.replace(".nii.gz", "_seg.nii.gz"))
        require(label.any(), f"{scan.name}: nothing is segmented, so that there is nothing to compare")
        return label

    def _pkdr(self, *words: object) -> None:
        run(
            (sys.executable, "-m", "pkdr_monai", *words), self.material / "log.txt", self.material, PYTHONPATH=str(ROOT)
        )


def needed() -> list[str]:
    """Return the packages that the bundle itself says it needs, besides torch."""
    metadata = read_json(ROOT / "bundle" / "configs" / "metadata.json")
    packages = {"monai": metadata["monai_version"], **metadata["required_packages_version"]}
    return [f"{name}=={version}" for name, version in packages.items()]


def read(path: Path) -> np.ndarray:
    """Return the voxels of a NIfTI file."""
    return np.asarray(nibabel.load(path).dataobj)


def run(words: Sequence[object], log: Path, folder: Path | None = None, **environment: str) -> str:
    """Run a program, add what it says to a log, and return it.

    Raises:
        TrialError: when it ends with an error.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=settings(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    with log.open("a") as file:
        file.write(f"$ {' '.join(map(str, words))}\n{result.stdout}\n")
    require(result.returncode == 0, f"{Path(str(words[0])).name} ended with {result.returncode}: see {log}")
    return result.stdout


def settings(**environment: str) -> dict[str, str]:
    """Return the environment of a program: no package of this checkout unless it is named, and no GPU."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**inherited, "CUDA_VISIBLE_DEVICES": "", **environment}


def _torch() -> str:
    found = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    require(found is not None, "constraints.txt names no version of torch")
    return found[0]
