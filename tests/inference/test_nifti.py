"""A result has the geometry of its source, both affines included, and none of its free text."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImaged

from pkdr_monai.data.transforms import LoadModalitiesd
from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json
from pkdr_monai.inference.nifti import OriginalGrid, SourceGridWriter, label_on, original_grids, write_like, write_nifti

AFFINE = np.array([[0, 0, 3.0, -50], [-0.9, 0.1, 0, 40], [0.1, 0.9, 0, -20], [0, 0, 0, 1]])


@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (3, 0), (0, 0)])
def test_both_affines_and_their_codes_are_copied(tmp_path: Path, codes: tuple[int, int]) -> None:
    source = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
    source.header.set_zooms((0.9, 0.9, 3.0))
    source.header.set_xyzt_units("mm")
    if codes[0]:
        source.set_qform(AFFINE, codes[0])
    if codes[1]:
        source.set_sform(AFFINE, codes[1])
    source.header["descrip"] = b"Jane Doe 1970-01-01"
    nib.save(source, tmp_path / "source.nii")
    write_like(tmp_path / "result.nii.gz", np.ones((4, 5, 6, 3), np.float32), tmp_path / "source.nii")
    written, original = nib.load(tmp_path / "result.nii.gz"), nib.load(tmp_path / "source.nii")
    np.testing.assert_allclose(written.affine, original.affine, atol=1e-5)
    assert int(written.header["qform_code"]) == int(original.header["qform_code"])
    assert int(written.header["sform_code"]) == int(original.header["sform_code"])
    np.testing.assert_allclose(written.header.get_zooms()[:3], original.header.get_zooms(), rtol=1e-6)
    assert written.header.get_xyzt_units()[0] == "mm"
    assert b"Jane" not in written.header["descrip"].tobytes()
    assert written.get_data_dtype() == np.float32


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), tmp_path / "source.nii")
    for name in ("one.nii.gz", "two.nii.gz"):
        write_like(tmp_path / name, np.ones((4, 4, 4), np.uint8), tmp_path / "source.nii")
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


@pytest.mark.parametrize("codes", [(1, 1), (0, 2), (3, 0), (0, 0)])
def test_the_bundles_writer_writes_the_header_that_predict_writes(tmp_path: Path, codes: tuple[int, int]) -> None:
    source = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
    source.header.set_zooms((0.9, 0.9, 3.0))
    source.header["qoffset_x"] = 17
    if codes[0]:
        source.set_qform(AFFINE, codes[0])
    if codes[1]:
        source.set_sform(AFFINE, codes[1])
    nib.save(source, tmp_path / "a.nii.gz")
    label = np.arange(120).reshape(4, 5, 6).astype(np.uint8)
    write_like(tmp_path / "one.nii.gz", label, tmp_path / "a.nii.gz")
    loaded = LoadModalitiesd("pred", ensure_channel_first=True)({"pred": str(tmp_path / "a.nii.gz")})
    loaded["pred"] = MetaTensor(torch.from_numpy(label)[None], meta=loaded["pred"].meta)
    writer = f"{SourceGridWriter.__module__}.{SourceGridWriter.__name__}"
    SaveImaged(
        "pred", output_dir=tmp_path, separate_folder=False, resample=False, writer=writer, output_dtype=torch.uint8,
        output_postfix="seg", print_log=False,
    )(loaded)  # fmt: skip
    assert (tmp_path / "a_seg.nii.gz").read_bytes() == (tmp_path / "one.nii.gz").read_bytes()


def test_a_chosen_affine_is_written_in_both_places(tmp_path: Path) -> None:
    source = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([2.0, 2, 2, 1]))
    nib.save(source, tmp_path / "source.nii")
    write_like(
        tmp_path / "result.nii.gz", np.ones((4, 5, 6), np.uint8), tmp_path / "source.nii", np.diag([1.0, 1, 1, 1])
    )
    written = nib.load(tmp_path / "result.nii.gz")
    np.testing.assert_allclose(written.get_sform(), np.eye(4))
    np.testing.assert_allclose(written.get_qform(), np.eye(4))


def test_each_voxel_is_that_of_the_nearest_one() -> None:
    label = np.zeros((6, 5, 4), np.uint8)
    label[2:4, 1:3, 1:3] = 4
    motion = np.eye(4)
    motion[:3, 3] = 1.0, 0.0, -1.0  # from the reference to the image
    finer = np.diag([0.5, 0.5, 0.5, 1.0])
    found = label_on(OriginalGrid((12, 10, 8), finer, motion), label, np.eye(4))
    for index in np.ndindex(12, 10, 8):
        x, y, z = (int(np.rint(v)) for v in (index[0] / 2 - 1, index[1] / 2, index[2] / 2 + 1))
        inside = 0 <= x < 6 and 0 <= y < 5 and 0 <= z < 4
        assert found[index] == (label[x, y, z] if inside else 0)
    same = label_on(OriginalGrid((6, 5, 4), np.eye(4), np.eye(4)), label, np.eye(4))
    assert np.array_equal(same, label)


def test_a_folder_that_was_not_prepared_or_not_registered_has_none(tmp_path: Path) -> None:
    assert original_grids(tmp_path) == {}
    write_json(tmp_path / "prepare.json", {"registration": None})
    assert original_grids(tmp_path) == {}
    write_json(tmp_path / "prepare.json", {"registration": {"moved": {"t2": {"shape": [1]}}}})
    with pytest.raises(InputError, match="is damaged"):
        original_grids(tmp_path)


def test_a_written_label_states_its_grid(tmp_path: Path) -> None:
    affine = np.diag([2.0, -1.0, 3.0, 1.0])
    write_nifti(tmp_path / "a.nii.gz", np.eye(3, dtype=np.uint8)[..., None], affine)
    image = nib.load(tmp_path / "a.nii.gz")
    assert np.array_equal(image.affine, affine)
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj)[..., 0], np.eye(3))
