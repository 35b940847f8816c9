"""A folder or zip of DICOM becomes series: checked, grouped, without anybody's name."""

from __future__ import annotations

import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.data.acquisition import Facts
from pkdr_monai.errors import InputError
from pkdr_monai.prepare.series import holds_dicom, read_series, unpack_zip
from tests.prepare.conftest import ID, NAME, NUMBERS


def _zip(path: Path, names: list[str], content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


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


def test_only_a_folder_of_dicom_without_nifti_holds_dicom(study: Path, tmp_path: Path) -> None:
    assert holds_dicom(study)
    assert not holds_dicom(tmp_path)
    shutil.copytree(study / "t1", tmp_path / "t1")
    (tmp_path / "a_t1.nii.gz").touch()
    assert not holds_dicom(tmp_path)
    assert not holds_dicom(tmp_path / "a_t1.nii.gz")


def test_missing_slices_are_seen(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study / "t1", tmp_path / "t1")
    sorted(folder.iterdir())[10].unlink()
    (series,) = read_series(folder)
    assert series.facts.gaps


def test_a_truncated_and_a_damaged_file_are_named_by_their_hash(study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(study / "t1", tmp_path / "t1")
    file = sorted(folder.iterdir())[3]
    whole = file.read_bytes()
    file.write_bytes(whole[:-200])
    with pytest.raises(InputError, match=r"SHA-256 begins with \w{12} is truncated"):
        read_series(folder)
    file.write_bytes(whole[:132] + b"\xff" * 100)
    with pytest.raises(InputError, match=r"SHA-256 begins with \w{12} is damaged"):
        read_series(folder)


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


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:\\x", "..\\x"])
def test_a_member_that_leads_out_of_the_zip_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="member 2 of the zip leads out of it"):
        unpack_zip(_zip(tmp_path / "a.zip", ["sound", name]), tmp_path / "out")
    assert not any((tmp_path / "out").iterdir())


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="is a link"):
        unpack_zip(tmp_path / "a.zip", tmp_path)


def test_a_bomb_an_encrypted_and_a_damaged_zip_are_refused(tmp_path: Path) -> None:
    bomb = _zip(tmp_path / "bomb.zip", ["a"], b"\0" * 250 * 2**20)
    with pytest.raises(InputError, match="200 times its size"):
        unpack_zip(bomb, tmp_path)
    sound = bytearray(_zip(tmp_path / "sound.zip", ["a"], bytes(range(256)) * 40).read_bytes())
    encrypted = bytearray(sound)
    central = encrypted.index(b"PK\x01\x02")
    struct.pack_into("<H", encrypted, central + 8, 1)
    (tmp_path / "encrypted.zip").write_bytes(encrypted)
    with pytest.raises(InputError, match="the zip is encrypted"):
        unpack_zip(tmp_path / "encrypted.zip", tmp_path)
    sound[40] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(sound)
    with pytest.raises(InputError, match="the zip is damaged"):
        unpack_zip(tmp_path / "damaged.zip", tmp_path)


def test_the_defaults_of_facts_are_those_of_a_plain_volume() -> None:
    assert (Facts().modality, Facts().agent, Facts().directions) == ("MR", None, 1)
