"""The picture shows the patient the right way up, from whatever grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from matplotlib.image import imread

from pkdr_monai.inference.preview import _cut, _largest_cut, _upright, draw_preview

RAS = np.diag([1.0, 2.0, 3.0, 1.0])


def marked() -> np.ndarray:
    """Return a volume in RAS with one voxel far right, front and top."""
    volume = np.zeros((6, 7, 8))
    volume[5, 6, 7] = 1  # R is towards higher indices in RAS
    return volume


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SLA", "AIR"])
def test_right_is_left_and_front_and_top_are_up(axes: str) -> None:
    turn = nib.orientations.ornt_transform(nib.io_orientation(RAS), nib.orientations.axcodes2ornt(axes))
    image = nib.Nifti1Image(marked(), RAS).as_reoriented(turn)
    upright, sizes = _upright(image.get_fdata(), image.affine)
    np.testing.assert_allclose(sizes, [1, 2, 3])
    axial = _cut(upright, 2, 7)  # row 0 is drawn at the bottom
    assert np.argwhere(axial).tolist() == [[6, 0]]
    coronal = _cut(upright, 1, 0)
    assert np.argwhere(coronal).tolist() == [[7, 0]]


def test_the_cut_goes_through_the_largest_part() -> None:
    whole = np.zeros((5, 5, 9))
    whole[1:4, 1:4, 6] = 1
    assert _largest_cut(whole, 2) == 6
    assert _largest_cut(np.zeros((5, 5, 9)), 2) == 4


@pytest.mark.parametrize("tumour", [True, False])
def test_a_picture_is_written_with_and_without_tumour(tmp_path: Path, tumour: bool) -> None:
    image = np.random.default_rng(0).random((20, 24, 10))
    regions = np.zeros((3, 20, 24, 10), bool)
    regions[:, 8:12, 8:14, 4:7] = tumour
    draw_preview(tmp_path / "preview.png", image, regions, np.diag([1.0, 1.0, 3.0, 1.0]), ["ann", "WT 3 mL"])
    picture = imread(tmp_path / "preview.png")
    assert picture.shape == (400, 960, 4)
    yellow = (picture[..., 0] > 0.8) & (picture[..., 1] > 0.6) & (picture[..., 2] < 0.3)
    assert (np.count_nonzero(yellow) > 200) == tumour  # the legend has a few
