"""A folder of DICOM becomes series: grouped, read and converted, without anybody's name."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data.acquisition import Facts, judge_study
from pkdr_monai.errors import InputError
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.series import Series, convert_series, converter_version, read_series
from pkdr_monai.prepare.volume import Volume, write_volume
from tests.prepare.conftest import HEADERS, ID, NAME, NUMBERS, write_enhanced


def test_a_study_is_read_series_by_series(study: Path) -> None:
    found = {series.number: series for series in read_series(study)}
    assert sorted(map(int, found)) == [1, *sorted((*NUMBERS.values(), 7))]
    flair = found["5"].facts
    assert (flair.te, flair.tr, flair.ti, flair.scanning) == ((120.0,), 9000.0, 2500.0, ("SE", "IR"))
    assert (flair.slices, flair.directions, flair.gaps, flair.agent) == (32, 1, False, None)
    assert found["9"].facts.agent == "gadobutrol"
    assert len({len(series.key) for series in found.values()} | {8}) == 1


def test_a_name_in_a_description_is_left_out(study: Path) -> None:
    (localiser,) = (series for series in read_series(study) if series.number == "1")
    assert localiser.facts.description.startswith("loc ***")
    assert all(word.lower() not in repr(localiser).lower() for word in (*NAME.split("^"), ID))


def test_missing_slices_are_seen(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study / "t1", tmp_path / "t1")
    sorted(folder.iterdir())[10].unlink()
    (series,) = read_series(folder)
    assert series.facts.gaps


@pytest.mark.parametrize(
    ("word", "value", "what"), [("PatientID", "other", "patients"), ("StudyInstanceUID", "1.2.3", "studies")]
)
def test_two_patients_and_two_studies_are_refused(
    study: Path, tmp_path: Path, change: Callable[..., None], word: str, value: str, what: str
) -> None:
    for name in ("t1", "t2"):
        shutil.copytree(study / name, tmp_path / name)
    change(tmp_path / "t2", **{word: value})
    with pytest.raises(InputError, match=f"holds 2 {what}: give the folder of one study"):
        read_series(tmp_path)


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs the extra dicom")
    with pytest.raises(InputError, match="holds no DICOM image"):
        read_series(tmp_path)


@pytest.fixture
def enhanced(patient: PhantomCase, tmp_path: Path) -> Callable[..., Facts]:
    """Return a function that writes an enhanced object, changes it, and returns what is read of it."""

    def make(modality: str, change: Callable[[Any], None] = lambda image: None) -> Facts:
        import pydicom

        path = tmp_path / modality / "IM"
        write_enhanced(path, patient.images[modality], NUMBERS[modality], HEADERS[modality])
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path)
        (series,) = read_series(path.parent)
        return series.facts

    return make


def test_the_functional_groups_of_an_enhanced_object_are_read(enhanced: Callable[..., Facts]) -> None:
    facts = [enhanced(modality) for modality in HEADERS]
    assert [judged.modality for judged in judge_study(facts)] == list(HEADERS)
    assert all(judged.certain for judged in judge_study(facts))
    flair = facts[-1]
    assert (flair.te, flair.tr, flair.ti, flair.scanning) == ((120.0,), 9000.0, 2500.0, ("SE", "IR"))
    assert (flair.slices, flair.directions, flair.gaps, flair.sop_class) == (32, 1, False, "Enhanced MR Image")
    assert facts[1].agent == "gadobutrol"


def test_frames_of_several_kinds_are_left_out(enhanced: Callable[..., Facts]) -> None:
    def second_echo(image: Any) -> None:
        image.PerFrameFunctionalGroupsSequence[5].MREchoSequence[0].EffectiveEchoTime = 20

    def phase(image: Any) -> None:
        image.ComplexImageComponent = "PHASE"

    def missing_frame(image: Any) -> None:
        place = image.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence[0]
        place.ImagePositionPatient = [v + 1.5 for v in place.ImagePositionPatient]

    for change, reason in (
        (second_echo, "it holds 2 echo times"),
        (phase, "not a magnitude image (PHASE)"),
        (missing_frame, "distances between its slices differ"),
    ):
        (judged,) = judge_study([enhanced("t2", change)])
        assert judged.excluded
        assert reason in judged.reasons[-1]


def test_the_defaults_of_facts_are_those_of_a_plain_volume() -> None:
    assert (Facts().modality, Facts().agent, Facts().directions) == ("MR", None, 1)


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
