"""DICOM files are known from others, broken ones are named by their hash, and a zip can do no harm."""

from __future__ import annotations

import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.dicom_files import holds_dicom, is_dicom, unpack_zip
from pkdr_monai.prepare.series import convert_series, read_series


def test_only_a_folder_of_dicom_without_nifti_holds_dicom(study: Path, tmp_path: Path) -> None:
    assert holds_dicom(study)
    assert not holds_dicom(tmp_path)
    shutil.copytree(study / "t1", tmp_path / "t1")
    (tmp_path / "a_t1.nii.gz").touch()
    assert not holds_dicom(tmp_path)
    assert not holds_dicom(tmp_path / "a_t1.nii.gz")


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


@pytest.mark.parametrize("modality", ["t1", "t2"])  # explicit and implicit value representation
def test_files_without_the_preamble_are_read(study: Path, patient: PhantomCase, tmp_path: Path, modality: str) -> None:
    import pydicom

    whole = convert_series(read_series(study / modality)[0], tmp_path)
    folder = tmp_path / "bare"
    folder.mkdir()
    for path in (study / modality).iterdir():
        dataset = pydicom.dcmread(path)
        implicit, little = dataset.original_encoding
        dataset.preamble = None
        del dataset.file_meta
        pydicom.dcmwrite(folder / path.name, dataset, implicit_vr=implicit, little_endian=little)
    assert all(is_dicom(path) for path in folder.iterdir())
    assert holds_dicom(folder)
    (series,) = read_series(folder)
    volume = convert_series(series, tmp_path)
    assert np.array_equal(volume.voxels, whole.voxels)
    np.testing.assert_allclose(volume.affine, whole.affine)
    file = sorted(folder.iterdir())[3]
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match="is truncated"):
        read_series(folder)


def test_other_files_are_no_dicom(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"\x08\x00", b"\x08\x00\x05\x00" + b"\xff" * 200, b"text " * 60, bytes(200)):
        path.write_bytes(content)
        assert not is_dicom(path)


def _zip(path: Path, names: list[str], content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


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
