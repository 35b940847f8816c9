"""What dcm2niix makes of a series lies where the scanner put it, and holds nobody's name."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.conversion import Volume, convert_series, converter_version, write_volume
from pkdr_monai.prepare.series import Series, read_series
from tests.prepare.conftest import ID, NAME


@pytest.fixture(scope="module")
def flair(study: Path) -> Series:
    (series,) = read_series(study / "flair")
    return series


def test_voxels_and_their_places_are_those_of_the_scanner(
    flair: Series, patient: PhantomCase, direct: Path, tmp_path: Path
) -> None:
    volume = convert_series(flair, tmp_path)
    truth = nib.load(direct)
    rng = np.random.default_rng(0)
    for index in rng.integers(0, truth.shape, (50, 3)):
        world = truth.affine @ [*index, 1]
        place = np.linalg.inv(volume.affine) @ world
        assert np.abs(place - place.round()).max() < 1e-2
        assert volume.voxels[tuple(place[:3].round().astype(int))] == patient.images["flair"][tuple(index)]
    assert not any(tmp_path.iterdir())


def test_slopes_and_intercepts_are_applied(
    study: Path, patient: PhantomCase, tmp_path: Path, change: Callable[..., None]
) -> None:
    folder = shutil.copytree(study / "t1", tmp_path / "t1")
    change(folder, RescaleSlope="2.5", RescaleIntercept="0")
    volume = convert_series(read_series(folder)[0], tmp_path)
    assert volume.voxels.max() == pytest.approx(2.5 * patient.images["t1"].max())


def test_a_series_of_which_slices_are_lost_is_refused(flair: Series, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 33 slices, of which dcm2niix took 32"):
        convert_series(replace(flair, facts=replace(flair.facts, slices=33)), tmp_path)
    with pytest.raises(InputError, match="dcm2niix made 0 images"):
        convert_series(replace(flair, files=()), tmp_path)


def test_a_written_volume_holds_no_name_and_is_the_same_each_time(flair: Series, tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_volume(tmp_path / name, convert_series(flair, tmp_path))
    first, second = ((tmp_path / name).read_bytes() for name in ("a.nii.gz", "b.nii.gz"))
    assert first == second
    content = gzip.decompress(first)
    assert all(word.encode() not in content for word in (*NAME.split("^"), ID))


def test_a_disk_that_cannot_be_written_to_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_volume(tmp_path / "file" / "a.nii.gz", Volume(np.ones((2, 2, 2), np.int16), np.eye(4)))


def test_the_converter_says_its_version() -> None:
    pytest.importorskip("dcm2niix", reason="needs the extra dicom")
    assert converter_version().startswith("v1.")
