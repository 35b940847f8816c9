from collections import Counter

import numpy as np

from pkdr_monai.phantom.anatomy import draw_anatomy
from pkdr_monai.phantom.lattice import Lattice
from pkdr_monai.phantom.wide_plan import HEALTHY, HINDBRAIN, LOW_GRADE, plan_satellites, plan_wide

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
