"""Small data sets for tests: NIfTI folders in the layouts that the challenges ship."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pkdr_monai.cli import main

SHAPE = (8, 9, 7)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
AFFINE = np.diag([12.0, 12.0, 12.0, 1.0])  # large voxels, so that brain and tumour have plausible volumes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests on real cases and in a browser, by name, where there are none."""
    lacking = {}
    if not Path(os.environ.get("PKDR_REAL_DATA") or "absent").is_dir():
        lacking["real"] = "PKDR_REAL_DATA names no folder of real cases"
    if not (find_spec("playwright") and any(map(shutil.which, BROWSERS))):
        lacking["browser"] = f"no playwright (pip install '.[browser]'), or none of {', '.join(BROWSERS)}"
    for item in items:
        for mark in lacking.keys() & item.keywords:
            item.add_marker(pytest.mark.skip(reason=lacking[mark]))


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Draw the same random numbers in every run, whatever ran before."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Take back what a bundle's logging.conf did here: its handler keeps a stream that ends with the test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:  # not pytest's, which are of a class below it
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real cases."""
    return Path(os.environ["PKDR_REAL_DATA"]).resolve()


def volumes(et: int = 4, ed: int = 2, ncr: int = 1) -> dict[str, np.ndarray]:
    """Return a brain in four modalities and its label: a block within a margin of 0, with a tumour that T1ce shows."""
    label = np.zeros(SHAPE, np.uint8)
    label[2:6, 2:6, 2:5] = ed
    label[3:5, 3:5, 2:5] = et
    label[3, 3, 3] = ncr
    images = {}
    for number, modality in enumerate(("t1", "t1ce", "t2", "flair")):
        image = np.zeros(SHAPE, np.int16)
        image[1:-1, 1:-1, 1:-1] = np.random.default_rng(number).integers(80, 120, (6, 7, 5))
        image[label == et] = 200 if modality == "t1ce" else 90
        images[modality] = image
    return {**images, "seg": label}


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write a volume, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


@pytest.fixture
def save_nifti() -> Callable[..., None]:
    """Return the function that writes a volume to a path."""
    return save


@pytest.fixture
def write_case(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes one case below ``tmp_path / "data"`` and returns that folder."""

    def write(folder: str, names: dict[str, str] | None = None, **volume_values: int) -> Path:
        """Write a case; ``names`` gives the file of each modality and of ``seg``, None those of BraTS 2018."""
        case = Path(folder).name
        content = volumes(**volume_values)
        for modality, name in (names or {modality: f"{case}_{modality}.nii.gz" for modality in content}).items():
            save(tmp_path / "data" / folder / name, content[modality])
        return tmp_path / "data"

    return write


@pytest.fixture
def write_task01(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a Decathlon Task01 with cases of the given names, and returns its folder."""

    def write(*names: str) -> Path:
        task = tmp_path / "Task01_BrainTumour"
        content = volumes(et=3, ed=1, ncr=2)
        for name in names:
            channels = [content[modality] for modality in ("flair", "t1", "t1ce", "t2")]
            save(task / "imagesTr" / f"{name}.nii.gz", np.stack(channels, axis=-1))
            save(task / "labelsTr" / f"{name}.nii.gz", content["seg"])
        description = {"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, "training": []}
        (task / "dataset.json").write_text(json.dumps(description))
        return task

    return write


@pytest.fixture
def dataset(write_case: Callable[..., Path]) -> Path:
    for name in ("001", "1e5", "c"):  # names that a command line might take for numbers
        folder = write_case(name)
    return folder


def exit_code(*words: object) -> int:
    """Run ``pkdr`` with these words, expect it to end by itself, and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in words])
    return int(caught.value.code or 0)
