"""Whole heads in NIfTI files become scans that ``pkdr predict`` takes, or one sentence says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.cli import main
from pkdr_monai.errors import InputError
from pkdr_monai.phantom.head import PhantomHead, make_head
from pkdr_monai.prepare import BrainSource, prepare_scans
from tests.conftest import exit_code


@pytest.fixture(scope="module")
def head() -> PhantomHead:
    return make_head(seed=7, shape=(60, 60, 50), spacing=(4.0, 4.0, 4.0), modalities=["t2", "flair"])


@pytest.fixture
def heads(head: PhantomHead, tmp_path: Path) -> Path:
    """A folder with the heads of one patient, the FLAIR of which has every other slice alone."""
    folder = tmp_path / "heads"
    folder.mkdir()
    nib.save(nib.Nifti1Image(head.images["t2"], head.affine), folder / "ann_t2.nii.gz")
    coarse = head.affine @ np.diag([1.0, 1.0, 2.0, 1.0])
    nib.save(nib.Nifti1Image(head.images["flair"][:, :, ::2], coarse), folder / "ann_flair.nii.gz")
    return folder


@pytest.fixture
def mask(head: PhantomHead, tmp_path: Path) -> Path:
    path = tmp_path / "mask.nii.gz"
    nib.save(nib.Nifti1Image(head.brain.astype(np.uint8), head.affine), path)
    return path


def test_the_brain_is_taken_out_of_a_head_and_the_input_stays_as_it_was(
    heads: Path, mask: Path, head: PhantomHead, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in heads.iterdir()}
    (folder,) = prepare_scans(heads / "ann_t2.nii.gz", tmp_path / "out", brain=BrainSource(mask))
    image = nib.load(folder / "ann_t2.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), np.where(head.brain, head.images["t2"], 0))
    np.testing.assert_allclose(image.affine, head.affine)
    record = json.loads((folder / "prepare.json").read_text())
    assert record["case"] == "ann"
    assert record["brain"]["how"] == "brain mask of the user"
    assert record["images"]["t2"]["file"] == "ann_t2.nii.gz"
    assert len(record["images"]["t2"]["input_sha256"]) == 64
    assert "not a medical device" in record["note"]
    assert {path.name: path.read_bytes() for path in heads.iterdir()} == before


def test_images_on_different_grids_are_registered_and_their_grids_kept(
    heads: Path, mask: Path, head: PhantomHead, tmp_path: Path
) -> None:
    pytest.importorskip("SimpleITK", reason="needs the extra prepare")
    (folder,) = prepare_scans(heads, tmp_path / "out", brain=BrainSource(mask))
    images = {modality: nib.load(folder / f"ann_{modality}.nii.gz") for modality in ("t2", "flair")}
    assert images["flair"].shape == images["t2"].shape == head.brain.shape
    registration = json.loads((folder / "prepare.json").read_text())["registration"]
    assert registration["reference"] == "t2"
    assert registration["moved"]["flair"]["shape"] == [60, 60, 25]


def test_from_the_command_line_and_with_files_that_are_named(heads: Path, mask: Path, tmp_path: Path) -> None:
    shutil.move(heads / "ann_flair.nii.gz", heads / "series5.nii.gz")
    words = ["prepare", str(heads), "-o", str(tmp_path / "out"), "--brain_mask", str(mask)]
    main([*words, "--t2", "ann_t2.nii.gz"])
    (written,) = (tmp_path / "out").rglob("*.nii.gz")
    assert written.name == "ann_t2.nii.gz"


def test_a_head_without_a_way_to_its_brain_is_refused_with_the_choices(
    heads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (heads / "ann_flair.nii.gz").unlink()
    assert exit_code("prepare", heads, "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "--brain hd-bet" in error
    assert "--brain_mask" in error
    assert error.count("\n") == 1
    assert (tmp_path / "out" / "ann" / "heads" / "ann_t2.nii.gz").is_file()


def test_what_cannot_be_prepared_is_refused(heads: Path, mask: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the output lies in the input"):
        prepare_scans(heads, heads / "out")
    shutil.copy(heads / "ann_t2.nii.gz", heads / "bob_t2.nii.gz")
    with pytest.raises(InputError, match="--brain_mask is the mask of one case, and there are 2"):
        prepare_scans(heads, tmp_path / "out", brain=BrainSource(mask))
    (heads / "IM0001").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 100)
    with pytest.raises(InputError, match="DICOM and NIfTI"):
        prepare_scans(heads, tmp_path / "out")
    (heads / "IM0001").unlink()
    damaged = (heads / "bob_t2.nii.gz").read_bytes()[:-2000]
    (heads / "bob_t2.nii.gz").write_bytes(damaged)
    with pytest.raises(InputError, match=r"bob_t2\.nii\.gz cannot be read"):
        prepare_scans(heads / "bob_t2.nii.gz", tmp_path / "out", brain=BrainSource(mask))
