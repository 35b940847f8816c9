"""From DICOM to label map and DICOM Segmentation in one command, as by the direct way, with the shipped weights."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.cli import main
from pkdr_monai.errors import InputError
from pkdr_monai.prepare.segmented_study import segment_study
from tests.conftest import exit_code
from tests.prepare.conftest import ID, NAME

ROOT = Path(__file__).resolve().parents[2]
MODEL = ["--model", str(ROOT / "bundle/models/model.pt"), "--fast", "--precision", "float32"]


@pytest.mark.slow
@pytest.mark.parametrize("flair_alone", [True, False])
def test_one_command_gives_what_the_direct_way_gives(
    study: Path, direct: Path, tmp_path: Path, flair_alone: bool
) -> None:
    highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")
    named = ["--flair", "5"] if flair_alone else []
    main(["predict", str(study), "-o", str(tmp_path / "a"), *named, "--dicom_seg", *MODEL])
    main(["predict", str(direct if flair_alone else direct.parent), "-o", str(tmp_path / "b"), *MODEL])
    (mine,), (other,) = ([*(tmp_path / name).rglob("*_seg.nii.gz")] for name in "ab")
    text = "".join(path.read_text() for path in (tmp_path / "a").rglob("*.json")).lower()
    assert all(word.lower() not in text for word in (*NAME.split("^"), ID))
    here, there = nib.load(mine), nib.load(other)
    voxels, truth = np.asarray(here.dataobj), np.asarray(there.dataobj)
    places = np.argwhere(np.ones(voxels.shape, bool))
    to_there = np.linalg.inv(there.affine) @ here.affine
    index = np.rint(places @ to_there[:3, :3].T + to_there[:3, 3]).astype(int)
    moved = truth[tuple(index.T)].reshape(voxels.shape)
    for values in ((1, 2, 4), (1, 4), (4,)):
        first, second = np.isin(voxels, values), np.isin(moved, values)
        assert 2 * (first & second).sum() >= 0.97 * (first.sum() + second.sum())
    assert (voxels > 0).sum() > 1000
    segmentation = highdicom.seg.segread(mine.with_name(mine.name.replace(".nii.gz", ".dcm")))
    volume = segmentation.get_volume(combine_segments=False).array
    assert [int(part.sum()) for part in np.moveaxis(volume, -1, 0)] == [
        int(np.isin(voxels, values).sum()) for values in ((1, 4), (1, 2, 4), (4,))
    ]


def test_options_of_dicom_are_refused_for_nifti(direct: Path, tmp_path: Path) -> None:
    assert exit_code("predict", direct, "-o", tmp_path / "out", "--dicom_seg") == 2
    assert not (tmp_path / "out").exists()


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="run it without torchrun"):
        segment_study(tmp_path, tmp_path / "out", lambda folder, output: {})
