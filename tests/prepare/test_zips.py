"""A zip is unpacked, or refused before a member of it can do harm."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.prepare.zips import unpack_zip


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
