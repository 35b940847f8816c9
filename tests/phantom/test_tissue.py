import numpy as np
import pytest

from pkdr_monai.phantom.lattice import Lattice
from pkdr_monai.phantom.signal import TISSUES, TissueMaps, draw_tissue_maps

LATTICE = Lattice(node_mm=9.0)
COUNT = int(np.prod(LATTICE.shape))


def draw(seed: int, strong: bool = True, **shares: float) -> TissueMaps:
    """Return the maps of voxels that all hold the same mixture."""
    fractions = {name: np.full(COUNT, share) for name, share in {"csf": 0.0, **shares}.items()}
    return draw_tissue_maps(np.random.default_rng(seed), LATTICE, fractions, np.ravel, strong)


@pytest.mark.parametrize("name", [name for name in TISSUES if name != "csf"])
@pytest.mark.parametrize("strong", [False, True])
def test_a_pure_tissue_has_the_literatures_times(name, strong):
    patients = [draw(seed, strong, **{name: 1.0}) for seed in range(12)]
    assert np.median([maps.t1 for maps in patients]) == pytest.approx(TISSUES[name].t1[strong], rel=0.12)
    assert np.median([maps.t2 for maps in patients]) == pytest.approx(TISSUES[name].t2[strong], rel=0.12)
    assert np.median([maps.pd for maps in patients]) == pytest.approx(TISSUES[name].pd, rel=0.05)
    assert np.median([maps.agent for maps in patients]) == pytest.approx(TISSUES[name].agent, rel=0.35)


def test_the_rates_of_a_mixture_add_up():
    mixed = draw(0, white=0.5, grey=0.5)
    white, grey = TISSUES["white"], TISSUES["grey"]
    expected = 2.0 / (1.0 / white.t1[1] + 1.0 / grey.t1[1])
    assert np.median(mixed.t1) == pytest.approx(expected, rel=0.08)


def test_pure_csf_divides_by_no_zero():
    maps = draw(0, csf=1.0, white=0.0)
    for values in (maps.pd, maps.t1, maps.t2, maps.agent):
        assert np.isfinite(values).all()
    assert (maps.csf == 1.0).all()


def test_tumours_vary_more_than_healthy_tissue():
    spread = {
        name: np.std([np.log(np.median(draw(seed, **{name: 1.0}).t1)) for seed in range(30)])
        for name in ("white", "enhancing")
    }
    assert spread["enhancing"] > 2 * spread["white"]


def test_a_tissue_that_is_absent_changes_no_other():
    first, second = draw(5, white=1.0), draw(5, white=1.0, necrosis=0.0)
    np.testing.assert_array_equal(first.t1, second.t1)
