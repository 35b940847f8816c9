"""Signals follow their equations, and tissue its relaxation times."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pkdr_monai.phantom.lattice import Lattice
from pkdr_monai.phantom.signal import (
    TISSUES,
    TissueMaps,
    contrast_enhanced_t1,
    draw_tissue_maps,
    inversion_recovery,
    nulling_inversion_time,
    spin_echo,
)

FIELDS = pytest.mark.parametrize("strong", [False, True], ids=["1.5 T", "3 T"])
HEALTHY = ("white", "deep", "grey", "csf")
LATTICE = Lattice(node_mm=9.0)
COUNT = int(np.prod(LATTICE.shape))


def test_spin_echo_is_the_textbook_equation():
    expected = 0.8 * (1 - math.exp(-600 / 1200)) * math.exp(-12 / 90)
    assert spin_echo(np.array(0.8), np.array(1200.0), np.array(90.0), tr=600, te=12) == pytest.approx(expected)


def test_inversion_recovery_is_the_textbook_equation():
    expected = 0.8 * abs(1 - 2 * math.exp(-900 / 1200) + math.exp(-9000 / 1200)) * math.exp(-100 / 90)
    signal = inversion_recovery(np.array(0.8), np.array(1200.0), np.array(90.0), tr=9000, te=100, ti=900)
    assert signal == pytest.approx(expected)


@pytest.mark.parametrize("tr", [6000.0, 9000.0, 12000.0])
def test_the_nulling_inversion_time_leaves_no_signal(tr):
    ti = nulling_inversion_time(4300.0, tr)
    signal = inversion_recovery(np.array(1.0), np.array(4300.0), np.array(2000.0), tr=tr, te=100, ti=ti)
    assert signal == pytest.approx(0.0, abs=1e-12)


def test_the_contrast_agent_adds_its_rate():
    enhanced = contrast_enhanced_t1(np.array([1000.0, 1000.0]), np.array([0.0, 0.25]), relaxivity=4.0)
    assert 1000.0 / enhanced == pytest.approx([1.0, 2.0])


@FIELDS
def test_relaxation_slows_from_white_matter_over_grey_matter_to_csf(strong):
    t1 = [TISSUES[name].t1[strong] for name in HEALTHY]
    t2 = [TISSUES[name].t2[strong] for name in HEALTHY]
    assert t1 == sorted(t1)
    assert t2 == sorted(t2)


def test_a_stronger_field_lengthens_t1_and_never_t2():
    for name, tissue in TISSUES.items():
        if name != "csf":
            assert tissue.t1[1] > tissue.t1[0]
        if name != "grey":  # its T2 is the same within a millisecond
            assert tissue.t2[1] < tissue.t2[0]


@FIELDS
def test_every_part_of_a_glioma_relaxes_more_slowly_than_white_matter(strong):
    for name in ("oedema", "enhancing", "nonenhancing", "necrosis"):
        assert TISSUES[name].t1[strong] > 1.5 * TISSUES["white"].t1[strong]
        assert TISSUES[name].t2[strong] > 1.5 * TISSUES["white"].t2[strong]


def test_enhancing_tumour_takes_up_ten_times_the_agent_of_white_matter():
    assert TISSUES["enhancing"].agent > 10 * TISSUES["white"].agent


@pytest.mark.parametrize(
    ("name", "mean", "deviation"), [("enhancing", 838.0, 210.0), ("oedema", 123.0, 74.0), ("white", 32.0, 35.0)]
)
def test_the_agent_shortens_t1_as_measured_in_glioblastomas(name, mean, deviation):
    before = TISSUES[name].t1[1]  # 33 patients, NMR in Biomedicine 2020, see docs/phantom.md
    after = contrast_enhanced_t1(np.array(before), np.array(TISSUES[name].agent), relaxivity=4.0)
    assert before - after == pytest.approx(mean, abs=deviation)


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
