"""Fields on the lattice, and the image's grid in it."""

from __future__ import annotations

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.lattice import SHAPE, SPACING, ImageGrid, Lattice, capsule_depth, ellipsoid_depth, smooth_union

LATTICE = Lattice()


def test_sampling_at_the_nodes_returns_the_nodes():
    field = LATTICE.noise(np.random.default_rng(0), 20.0)
    np.testing.assert_allclose(LATTICE.sample(field, LATTICE.axes), field, atol=1e-12)


def test_sampling_reproduces_a_quadratic_between_the_nodes():
    x, y, z = LATTICE.coordinates()
    at = (np.array([-31.3, 0.4]), np.array([5.2, 44.4, 60.1]), np.array([-7.7]))
    values = LATTICE.sample(x * x + 2.0 * x * y - z, at)
    expected = at[0][:, None, None] ** 2 + 2.0 * at[0][:, None, None] * at[1][None, :, None] - at[2][None, None, :]
    np.testing.assert_allclose(values, expected, atol=1e-9)


def test_sampling_outside_repeats_the_border():
    x, y, z = LATTICE.coordinates()
    values = LATTICE.sample(x + 0 * y + 0 * z, (np.array([-500.0, 500.0]), np.zeros(1), np.zeros(1)))
    assert values.ravel() == pytest.approx([LATTICE.axes[0][0], LATTICE.axes[0][-1]])


@pytest.mark.parametrize("wavelength", [24.0, 40.0, 70.0])
def test_noise_has_the_wavelength_asked_for(wavelength):
    crossings = []
    for seed in range(6):
        field = LATTICE.noise(np.random.default_rng(seed), wavelength)
        assert field.mean() == pytest.approx(0.0, abs=1e-9)
        assert field.std() == pytest.approx(1.0)
        crossings.append(np.mean(field[1:] * field[:-1] < 0.0) / LATTICE.node_mm)
    assert 2.0 / np.mean(crossings) == pytest.approx(wavelength, rel=0.15)


def test_noise_is_drawn_from_its_generator_alone():
    first, second = (LATTICE.noise(np.random.default_rng(3), 30.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_ellipsoid_depth_has_the_ellipsoid_as_its_zero_level():
    points = LATTICE.coordinates()
    depth = ellipsoid_depth(points, (5, -10, 0), (30, 50, 20))
    volume = np.count_nonzero(depth > 0) * LATTICE.node_mm**3
    assert volume == pytest.approx(4 / 3 * np.pi * 30 * 50 * 20, rel=0.02)


def test_capsule_depth_is_the_distance_to_its_surface():
    rng = np.random.default_rng(0)
    start, end = np.array([1.0, -4.0, 2.0]), np.array([7.0, 5.0, -3.0])
    points = rng.uniform(-15, 15, (3, 50))
    along = np.linspace(0, 1, 4001)
    axis = start[:, None] + (end - start)[:, None] * along
    nearest = np.linalg.norm(points[:, :, None] - axis[:, None, :], axis=0).min(axis=1)
    np.testing.assert_allclose(capsule_depth(list(points), start, end, 2.5), 2.5 - nearest, atol=1e-3)


def test_smooth_union_only_ever_adds():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.0, 5.0, (2, 1000))
    union = smooth_union(first, second, 4.0)
    assert (union >= np.maximum(first, second)).all()
    apart = np.abs(first - second) > 4.0
    np.testing.assert_array_equal(union[apart], np.maximum(first, second)[apart])


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
