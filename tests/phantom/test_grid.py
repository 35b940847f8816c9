import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.lattice import SHAPE, SPACING, ImageGrid


def test_the_affine_is_brats_2018s():
    expected = [[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(ImageGrid(SHAPE, SPACING).affine, expected)


def test_the_axes_run_to_the_left_to_the_back_and_upwards():
    signs = [np.sign(np.diff(axis)) for axis in ImageGrid(SHAPE, SPACING).axes]
    assert [set(sign) for sign in signs] == [{-1.0}, {-1.0}, {1.0}]


@pytest.mark.parametrize("factor", [2, 3])
def test_coarser_voxels_cover_the_same_head(factor):
    fine = ImageGrid(SHAPE, SPACING)
    coarse = ImageGrid([round(side / factor) for side in SHAPE], [float(factor)] * 3)
    for first, second in zip(fine.axes, coarse.axes, strict=True):
        assert first.min() == pytest.approx(second.min(), abs=1.5 * factor)
        assert first.max() == pytest.approx(second.max(), abs=1.5 * factor)


def test_a_small_field_of_view_shrinks_the_head():
    grid = ImageGrid((32, 64, 64), (2.0, 2.0, 2.0))
    assert grid.voxel_mm == pytest.approx(156.0 / 32)
    assert min(np.ptp(axis) for axis in grid.axes) > 130.0


def test_a_large_field_of_view_does_not_blow_it_up():
    grid = ImageGrid((300, 300, 300), (1.0, 1.0, 1.0))
    assert grid.voxel == (1.0, 1.0, 1.0)
    assert max(len(axis) for axis in grid.axes) < 200


def test_values_land_where_the_brain_is():
    grid = ImageGrid((40, 40, 40), (5.0, 5.0, 5.0))
    brain = np.zeros([len(axis) for axis in grid.axes], dtype=bool)
    brain[2:5, 3, 4] = True
    image = grid.place(brain, np.array([7, 8, 9], dtype=np.int16))
    assert image.shape == (40, 40, 40)
    assert image.dtype == np.int16
    assert image[image > 0].tolist() == [7, 8, 9]


@pytest.mark.parametrize("shape", [(31, 64, 64), (64, 64), (64, 64, 64, 4)])
def test_a_shape_out_of_range_is_refused(shape):
    with pytest.raises(InputError, match="3 sides of 32 voxels or more"):
        ImageGrid(shape, SPACING)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 1.0, 11.0)])
def test_a_spacing_out_of_range_is_refused(spacing):
    with pytest.raises(InputError, match="3 lengths above 0 and up to 10 mm"):
        ImageGrid(SHAPE, spacing)
