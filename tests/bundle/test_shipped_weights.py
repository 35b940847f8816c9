"""The weights that come with the project segment a FLAIR by every way in which a user meets them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch

from pkdr_monai.packaging import build_bundle
from pkdr_monai.packaging.archive import unpack_archive
from pkdr_monai.phantom import write_cohort
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.runs.models import default_folders, find_models, weights_folder

from .conftest import ROOT, type_in_a_shell

MODELS = ROOT / "bundle" / "models"
SINGLE = ("t1", "t1ce", "t2", "flair")


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one scan, a FLAIR; the truth lies beside the folder."""
    cohort = tmp_path_factory.mktemp("patient")
    (case,) = write_cohort(cohort / "cohort", cases=1, shape=(120, 120, 78), spacing=(2.0, 2.0, 2.0), seed=1)
    (cohort / "scans").mkdir()
    shutil.copy(case / f"{case.name}_flair.nii.gz", cohort / "scans" / "ann_flair.nii.gz")
    shutil.copy(case / f"{case.name}_seg.nii.gz", cohort / "truth.nii.gz")
    return cohort / "scans"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zip")
    build_bundle(folder / "bundle.zip", "pkdr_brats_mri", ROOT / "bundle")
    unpack_archive(folder / "bundle.zip", folder)
    return folder / "pkdr_brats_mri"


def _dice(found: Path, patient: Path) -> float:
    segmented = np.asarray(nib.load(found).dataobj) > 0
    truth = np.asarray(nib.load(patient.parent / "truth.nii.gz").dataobj) > 0
    return 2 * (segmented & truth).sum() / (segmented.sum() + truth.sum())


def test_the_card_says_what_they_are() -> None:
    card = ModelCard.read(MODELS / "model.json")
    assert card.any_subset
    assert card.synthetic
    assert not card.demonstration  # they were measured on patients
    assert {*SINGLE, "t1+t1ce+t2+flair"} <= set(card.subsets)
    assert {evaluation.cases for evaluation in card.subsets.values()} == {24}
    assert card == card.with_weights(MODELS / "model.pt")  # the hash is that of the file
    assert (MODELS / "model.pt").stat().st_size < 20e6


def test_they_are_found_without_being_named() -> None:
    assert MODELS in default_folders()
    assert weights_folder("nowhere") == str(MODELS)
    assert any(card.name == "any_subset" for card in find_models([MODELS]))


def test_predict_and_the_command_that_it_prints_segment_alike_from_any_folder(patient: Path, tmp_path: Path) -> None:
    said = type_in_a_shell(f"pkdr predict {patient}/ann_flair.nii.gz -o out --precision float32", tmp_path)
    assert "trained on no patient" in said
    assert "expected Dice" in said
    assert "24 test cases" in said
    first = tmp_path / "out" / "ann" / "ann_seg.nii.gz"
    assert _dice(first, patient) > 0.5
    (command,) = (line for line in said.splitlines() if "monai.bundle run" in line)
    type_in_a_shell(command.strip().replace("--output_dir out", "--output_dir again"), tmp_path)
    again = tmp_path / "again" / "ann_flair_seg.nii.gz"
    np.testing.assert_array_equal(np.asarray(nib.load(again).dataobj), np.asarray(nib.load(first).dataobj))


def test_monai_segments_in_the_checkout(patient: Path, tmp_path: Path) -> None:
    type_in_a_shell(
        "python -m monai.bundle run evaluating --config_file bundle/configs/inference.json "
        f"--dataset_dir {patient} --modality flair --output_dir {tmp_path}/out",
        ROOT,
    )
    assert _dice(tmp_path / "out" / "ann_flair_seg.nii.gz", patient) > 0.5


def test_the_zip_segments_where_it_is_unpacked(patient: Path, unpacked: Path, tmp_path: Path) -> None:
    type_in_a_shell(
        "python -m monai.bundle run evaluating --config_file configs/inference.json "
        f"--dataset_dir {patient} --modality flair --output_dir {tmp_path}/out",
        unpacked,
        unpacked,
    )
    assert _dice(tmp_path / "out" / "ann_flair_seg.nii.gz", patient) > 0.5


@pytest.mark.filterwarnings("ignore:parsing config_file")  # MONAI says that configs run code
def test_monai_loads_the_network_of_the_zip_with_its_weights(unpacked: Path) -> None:
    network = monai.bundle.load(unpacked.name, bundle_dir=unpacked.parent, source="github", device="cpu")
    stored = torch.load(MODELS / "model.pt", weights_only=True)
    torch.testing.assert_close(network.stem[0].weight, stored["stem.0.weight"].float())
    assert network.available == SINGLE


@pytest.mark.parametrize(("modalities", "dice"), [(["flair"], 0.7), (SINGLE, 0.8)])
def test_where_they_are_of_use_they_find_the_whole_tumour(modalities: Sequence[str], dice: float) -> None:
    card = ModelCard.read(MODELS / "model.json").seeing(modalities)
    assert card.evaluation is not None
    assert card.evaluation.mean["wt"] > dice
