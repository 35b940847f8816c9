"""A folder of DICOM becomes series: grouped, without anybody's name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.prepare.series import read_series
from tests.prepare.conftest import ID, NAME, NUMBERS


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
