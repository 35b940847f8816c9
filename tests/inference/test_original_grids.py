"""A label map returns to the grid that an image had before it was registered."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json
from pkdr_monai.inference.nifti import write_label
from pkdr_monai.inference.original_grids import OriginalGrid, label_on, original_grids


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
    write_label(tmp_path / "a.nii.gz", np.eye(3, dtype=np.uint8)[..., None], affine)
    image = nib.load(tmp_path / "a.nii.gz")
    assert np.array_equal(image.affine, affine)
    assert image.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(image.dataobj)[..., 0], np.eye(3))
