"""What a patient of either setting is to become."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pkdr_monai.phantom.anatomy import draw_anatomy
from pkdr_monai.phantom.lattice import Lattice
from pkdr_monai.phantom.plan import (
    HEALTHY,
    HINDBRAIN,
    LGG_SHARE,
    LOW_GRADE,
    TumourPlan,
    plan_satellites,
    plan_tumour,
    plan_wide,
)

PLANS = [plan_wide(np.random.default_rng(seed)) for seed in range(2000)]
ILL = [plan for plan in PLANS if plan.main is not None]


def test_one_head_in_ten_is_healthy():
    assert abs(1.0 - len(ILL) / len(PLANS) - HEALTHY) < 0.02


def test_grades_and_places_have_their_shares():
    grades = Counter(plan.main.grade for plan in ILL)
    assert abs(grades["LGG"] / len(ILL) - LOW_GRADE) < 0.03
    assert abs(np.mean([plan.main.hindbrain for plan in ILL]) - HINDBRAIN) < 0.02


def test_tumours_are_tiny_to_huge():
    volumes = [plan.main.whole_ml for plan in ILL]
    assert min(volumes) < 1.0
    assert 20.0 < np.median(volumes) < 80.0
    assert max(volumes) > 250.0


def test_most_low_grade_tumours_do_not_enhance_and_all_high_grade_ones_do():
    low = [plan.main.enhancing_share > 0.0 for plan in ILL if plan.main.grade == "LGG"]
    assert 0.2 < np.mean(low) < 0.45
    assert all(plan.main.enhancing_share > 0.0 for plan in ILL if plan.main.grade == "HGG")


def test_satellites_lie_in_the_brain():
    lattice = Lattice()
    plan = next(plan for plan in ILL if plan.satellites == 3)
    anatomy = draw_anatomy(np.random.default_rng(0), lattice, plan.displaced)
    for focus in plan_satellites(np.random.default_rng(1), lattice, anatomy, plan):
        depth = lattice.sample(anatomy.cerebrum, [np.array([value]) for value in focus.centre])
        assert depth.item() > 2.0


def test_age_widens_ventricles_and_sulci():
    lattice = Lattice()
    anatomy = draw_anatomy(np.random.default_rng(0), lattice, lambda point: point)
    old = max(PLANS, key=lambda plan: plan.age).aged(anatomy)
    young = min(PLANS, key=lambda plan: plan.age).aged(anatomy)
    shares = [head.fractions(lambda field: field, 3.0) for head in (young, old)]
    assert shares[1]["csf"].sum() > shares[0]["csf"].sum()
    assert shares[1]["lesion"].sum() > shares[0]["lesion"].sum()


def plans(grade: str, count: int = 300) -> list[TumourPlan]:
    rng = np.random.default_rng(0)
    return [plan_tumour(rng, grade) for _ in range(count)]


def test_volumes_are_those_of_brats():
    high = plans("HGG")
    whole = np.array([plan.whole_ml for plan in high])
    core = np.array([plan.core_share for plan in high])
    enhancing = core * [plan.enhancing_share for plan in high]
    assert 75.0 < np.median(whole) < 105.0
    assert whole.min() >= 10.0
    assert whole.max() <= 250.0
    assert 0.3 < np.median(core) < 0.45
    assert 0.15 < np.median(enhancing) < 0.28


def test_every_high_grade_tumour_enhances_and_a_third_of_the_low_grade_ones_a_little():
    assert all(plan.enhancing_share > 0.3 for plan in plans("HGG"))
    shares = [plan.enhancing_share for plan in plans("LGG")]
    assert np.mean([share > 0.0 for share in shares]) == pytest.approx(1 / 3, abs=0.08)
    assert max(shares) < 0.2


def test_grades_are_drawn_in_the_proportions_of_brats():
    rng = np.random.default_rng(0)
    grades = [plan_tumour(rng).grade for _ in range(500)]
    assert np.mean([grade == "LGG" for grade in grades]) == pytest.approx(LGG_SHARE, abs=0.05)


def test_a_chosen_grade_changes_no_other_draw():
    drawn = plan_tumour(np.random.default_rng(3))
    assert plan_tumour(np.random.default_rng(3), drawn.grade) == drawn


def test_tumours_sit_on_both_sides_and_all_along_the_cerebrum():
    centres = np.array([plan.centre for plan in plans("HGG")])
    assert 0.4 < np.mean(centres[:, 0] > 0.0) < 0.6
    assert np.ptp(centres[:, 1]) > 80.0
    assert np.ptp(centres[:, 2]) > 45.0
    assert np.abs(centres[:, 0]).min() > 10.0


def test_displacement_shrinks_towards_the_centre_and_leaves_the_far_side_alone():
    plan = TumourPlan("HGG", (30.0, 0.0, 10.0), whole_ml=90.0, core_share=0.4, enhancing_share=0.5)
    point = (np.array([30.0, 45.0, -60.0]), np.zeros(3), np.full(3, 10.0))
    x, y, z = plan.displaced(point)
    assert x[0] == 30.0
    assert 38.0 < x[1] < 44.0
    assert x[2] == pytest.approx(-60.0, abs=1.0)
    np.testing.assert_allclose((y, z), (point[1], point[2]))
