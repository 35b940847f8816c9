"""deepbet itself, on a synthetic head with its skull, its scalp and its neck; and every command of docs/prepare.md."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.phantom.head import PhantomHead, make_head
from pkdr_monai.prepare.brain import BrainSource, find_brains
from pkdr_monai.prepare.study import prepare_study
from pkdr_monai.prepare.volume import Volume

from ..bundle.conftest import type_in_a_shell
from ..prepare.conftest import HEADERS, NUMBERS, SPACING, write_series
from ..prepare.conftest import hd_bet as hd_bet  # a fixture
from .test_documented_commands import commands_of

pytest.importorskip("deepbet", reason="needs the extra brain")

DEEPBET = BrainSource(engine="deepbet")


@pytest.fixture(scope="module")
def head() -> PhantomHead:
    return make_head(7, (120, 120, 100), (2.0, 2.0, 2.0), modalities=["t1", "flair"])


def test_deepbet_finds_the_brain_of_a_synthetic_head_in_t1_for_all_modalities(
    head: PhantomHead, tmp_path: Path
) -> None:
    volumes = {modality: Volume(voxels, head.affine) for modality, voxels in head.images.items()}
    brains, how = find_brains(volumes, DEEPBET, tmp_path, tmp_path / "heads", "case")
    found = brains["t1"].voxels > 0
    assert 2 * np.count_nonzero(found & head.brain) / (found.sum() + head.brain.sum()) > 0.92
    assert np.count_nonzero(found & head.brain) > 0.98 * head.brain.sum()
    assert np.count_nonzero((brains["flair"].voxels > 0) ^ found) < 0.01 * found.sum()
    assert (how["engine"], how["modality"]) == ("deepbet", "t1")
    assert how["version"].startswith("1.")


def test_every_command_from_the_scanner_to_the_pacs_works(
    hd_bet: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Typed as they stand, with deepbet itself and a script for HD-BET, on slices of 5 mm of a whole head."""
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    pytest.importorskip("SimpleITK", reason="needs the extra prepare")
    head = make_head(7, (80, 80, 40), SPACING)
    bright = np.where(head.brain, head.images["flair"] + 1000, np.minimum(head.images["flair"], 1000))
    for modality, voxels in (head.images | {"flair": bright}).items():
        write_series(tmp_path / "study" / modality, voxels, NUMBERS[modality], HEADERS[modality])
    shutil.make_archive(str(tmp_path / "study"), "zip", tmp_path / "study")
    (tmp_path / "heads").mkdir()
    nib.save(nib.Nifti1Image(bright, head.affine), tmp_path / "heads" / "ann_flair.nii.gz")
    (tmp_path / "release_2.0.0" / "fold_all").mkdir(parents=True)
    (tmp_path / "release_2.0.0" / "fold_all" / "checkpoint_final.pth").write_bytes(b"weights")
    hd_bet()
    made = prepare_study(
        tmp_path / "study", tmp_path / "made", named={"flair": "5"}, brain=BrainSource(engine="hd-bet")
    )
    brain = nib.load(made.folder / f"{made.case}_flair.nii.gz")
    nib.save(nib.Nifti1Image((np.asarray(brain.dataobj) > 0).astype(np.uint8), brain.affine), tmp_path / "mask.nii.gz")
    scripts = list(commands_of("docs/prepare.md"))
    assert len("\n".join(scripts).splitlines()) >= 8
    for script in scripts:
        type_in_a_shell(script, tmp_path)
    (label,) = (tmp_path / "results").rglob(f"{made.case}_seg.nii.gz")
    assert nib.load(label).shape == brain.shape
    assert label.with_name(f"{made.case}_seg.dcm").is_file()
    assert (tmp_path / "results" / "ann" / "ann_seg.nii.gz").is_file()
