from __future__ import annotations

import contextlib
import gzip
import random
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data import headers
from pkdr_monai.data.headers import UnreadableError, read_header, read_once, read_voxels

VOLUME = np.arange(8 * 9 * 7, dtype=np.int16).reshape(8, 9, 7)


def nifti_bytes(array: np.ndarray = VOLUME) -> bytes:
    return nib.Nifti1Image(array, np.eye(4)).to_bytes()


def with_shape(*shape: int) -> bytes:
    """Return a file whose header claims ``shape`` and whose voxels are those of a small volume."""
    content = bytearray(nifti_bytes())
    content[40:56] = struct.pack("<8h", len(shape), *shape, *[1] * (7 - len(shape)))
    return bytes(content)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII", "A.NII.GZ"])
def test_sound_file_is_read_whatever_its_ending(tmp_path: Path, save_nifti: Callable[..., None], name: str) -> None:
    save_nifti(tmp_path / name, VOLUME, np.diag([2.0, 2.0, 3.0, 1.0]))
    header = read_header(tmp_path / name)
    assert header.shape == (8, 9, 7)
    assert header.voxel_volume == pytest.approx(12)
    voxels = read_voxels(tmp_path / name)
    assert voxels.dtype == np.int16
    assert np.array_equal(voxels, VOLUME)


def test_nifti_2_and_scaled_voxels_are_read(tmp_path: Path) -> None:
    image = nib.Nifti2Image(VOLUME, np.eye(4))
    image.header.set_slope_inter(0.5, 1.0)
    nib.save(image, tmp_path / "a.nii.gz")
    assert read_header(tmp_path / "a.nii.gz").shape == (8, 9, 7)
    assert np.array_equal(read_voxels(tmp_path / "a.nii.gz"), 1 + 0.5 * VOLUME)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.nii", b"", "the file is empty"),
        ("a.nii.gz", b"", "the file is empty"),
        ("a.nii.gz", b"This is a letter, not a scan.\n" * 30, "named .gz but is not compressed"),
        ("a.nii.gz", nifti_bytes(), "named .gz but is not compressed"),
        ("a.nii", gzip.compress(nifti_bytes()), "compressed by gzip but not named .gz"),
        ("a.nii", b"This is a letter, not a scan.\n" * 30, "not a readable NIfTI file"),
        ("a.nii", random.Random(0).randbytes(5000), "not a readable NIfTI file"),
        ("a.nii.gz", gzip.compress(random.Random(0).randbytes(5000)), "not a readable NIfTI file"),
        ("a.nii.gz", b"\x1f\x8b" + random.Random(0).randbytes(5000), "damaged|not a readable"),
        ("a.nii", nifti_bytes()[:300], "not a readable NIfTI file"),
        ("a.nii", nifti_bytes()[:-1], "truncated: 8x9x7 voxels take 1,008 bytes, the file has 1,359"),
        ("a.nii", with_shape(32767, 32767, 32767), "truncated: 32767x32767x32767 voxels take"),
        ("a.nii.gz", gzip.compress(with_shape(32767, 32767, 32767)), "more than .* bytes of gzip can hold"),
        ("a.nii", with_shape(-8, 9, 7), "claims the shape -8x9x7"),
        ("a.nii", with_shape(0, 9, 7), "claims the shape 0x9x7"),
        ("a.nii", nifti_bytes(VOLUME.astype(np.complex64)), "not plain numbers"),
    ],
)
def test_broken_file_is_one_sentence_not_a_traceback(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableError, match=complaint) as caught:
        read_header(tmp_path / name)
    assert "\n" not in caught.value.what
    assert caught.value.fix


def test_header_that_nibabel_mends_is_read_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(nib.imageglobals.logger, "callHandlers", lambda record: logged.append(record.getMessage()))
    image = nib.Nifti1Image(VOLUME, None)
    image.set_sform(np.eye(4), code=1)  # so that the affine does not come from pixdim
    content = bytearray(image.to_bytes())
    content[80:84] = struct.pack("<f", -1.0)  # pixdim[1] is a size, so above 0
    (tmp_path / "a.nii").write_bytes(content)
    assert read_header(tmp_path / "a.nii").shape == (8, 9, 7)
    assert np.array_equal(read_voxels(tmp_path / "a.nii"), VOLUME)
    assert logged == []
    nib.load(tmp_path / "a.nii")
    assert "pixdim" in logged[0]  # everyone else hears of it as before


def test_absent_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"cannot be opened \(No such file or directory\)"):
        read_header(tmp_path / "a.nii.gz")


def test_claim_beyond_the_limit_is_refused_before_a_voxel_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkdr_monai.data.headers.MAX_BYTES", 1000)
    (tmp_path / "a.nii").write_bytes(nifti_bytes())
    with pytest.raises(UnreadableError, match="more than the limit"):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize("affine", [np.diag([0.0, 1, 1, 1]), np.diag([np.nan, 1, 1, 1])])
def test_affine_without_an_inverse_is_refused(tmp_path: Path, affine: np.ndarray) -> None:
    image = nib.Nifti1Image(VOLUME, np.eye(4))
    image.header.set_sform(affine, code=1)
    content = bytearray(image.to_bytes())
    content[280:328] = affine[:3].astype("<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(UnreadableError, match="no inverse"):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize("module", [None, "isal.igzip"])
def test_with_and_without_the_fast_decompressor_damage_is_told_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str | None
) -> None:
    monkeypatch.setattr("pkdr_monai.data.headers.open_gzip", pytest.importorskip(module).open if module else gzip.open)
    path = tmp_path / "a.nii.gz"
    content = bytearray(gzip.compress(nifti_bytes(np.random.default_rng(0).integers(0, 9, (90, 90, 9)).astype("i2"))))
    path.write_bytes(content)
    assert read_voxels(path).shape == (90, 90, 9)
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="its compressed data is damaged"):
        read_voxels(path)
    path.write_bytes(content[:-9])
    with pytest.raises(UnreadableError, match=r"truncated|damaged"):
        read_voxels(path)


@pytest.mark.parametrize("module", ["gzip", "isal.igzip"])
@pytest.mark.parametrize("rest", [b"\r\n", b"\x1f\x8b", b"\0" * 50, b"copied by a program"])
def test_what_lies_behind_a_whole_gzip_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, rest: bytes
) -> None:
    monkeypatch.setattr("pkdr_monai.data.headers.open_gzip", pytest.importorskip(module).open)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(nifti_bytes()) + rest)
    assert np.array_equal(read_voxels(tmp_path / "a.nii.gz"), VOLUME)


@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_truncated_gzip_is_found_at_the_voxels(tmp_path: Path, keep: float) -> None:
    content = gzip.compress(nifti_bytes(np.random.default_rng(0).integers(0, 999, (40, 40, 9)).astype(np.int16)))
    (tmp_path / "a.nii.gz").write_bytes(content[: int(keep * len(content))])
    read_header(tmp_path / "a.nii.gz")
    with pytest.raises(UnreadableError, match="truncated"):
        read_voxels(tmp_path / "a.nii.gz")


def test_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(nifti_bytes(), compresslevel=0))
    content[-100] ^= 1  # level 0 stores the bytes: no decompressor fails on this one
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"damaged.*CRC"):
        read_voxels(tmp_path / "a.nii.gz")


def test_random_damage_never_raises_anything_else(tmp_path: Path) -> None:
    generator = random.Random(1)
    path = tmp_path / "a.nii.gz"
    for _ in range(200):
        content = bytearray(nifti_bytes())
        for _ in range(generator.choice([1, 5, 50])):
            content[generator.randrange(348)] = generator.randrange(256)
        path.write_bytes(gzip.compress(content, 1))
        with contextlib.suppress(UnreadableError):
            read_header(path)
            read_voxels(path)


def test_claim_counts_what_scaled_voxels_take_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = nib.Nifti1Image(np.ones((10, 10, 10), np.uint8), np.eye(4))
    image.header.set_slope_inter(2.0, 0.0)
    nib.save(image, tmp_path / "a.nii")
    monkeypatch.setattr("pkdr_monai.data.headers.MAX_BYTES", 8000)
    read_header(tmp_path / "a.nii")
    monkeypatch.setattr("pkdr_monai.data.headers.MAX_BYTES", 7999)
    with pytest.raises(UnreadableError, match="more than the limit"):
        read_header(tmp_path / "a.nii")


def test_within_read_once_a_file_is_decompressed_once_and_callers_own_what_they_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened = tmp_path / "a.nii.gz", []
    nib.save(nib.Nifti1Image(VOLUME, np.eye(4)), path)
    read = headers._read_voxels
    monkeypatch.setattr(headers, "_read_voxels", lambda file: opened.append(file) or read(file))
    with read_once():
        read_voxels(path)[:] = 0
        np.testing.assert_array_equal(read_voxels(path), VOLUME)
        assert len(opened) == 1
        nib.save(nib.Nifti1Image(VOLUME + 1, np.eye(4)), path)  # another file under the same name is read
        np.testing.assert_array_equal(read_voxels(path), VOLUME + 1)
    read_voxels(path)
    assert len(opened) == 3
