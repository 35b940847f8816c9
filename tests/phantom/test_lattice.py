import numpy as np
import pytest

from pkdr_monai.phantom.lattice import Lattice, capsule_depth, ellipsoid_depth, smooth_union

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
