from functools import cache

import numpy as np
import pytest

from pkdr_monai.phantom.anatomy import draw_anatomy
from pkdr_monai.phantom.lattice import Array, Lattice
from pkdr_monai.phantom.plan import TumourPlan
from pkdr_monai.phantom.tumour import grow_tumour

LATTICE = Lattice()
NODE_ML = LATTICE.node_mm**3 / 1000.0
PLANS = {
    "ring": TumourPlan("HGG", (28.0, -20.0, 22.0), whole_ml=90.0, core_share=0.35, enhancing_share=0.55),
    "large": TumourPlan("HGG", (-24.0, 25.0, 15.0), whole_ml=200.0, core_share=0.3, enhancing_share=0.7),
    "small": TumourPlan("HGG", (35.0, 10.0, -14.0), whole_ml=12.0, core_share=0.2, enhancing_share=0.4),
    "solid": TumourPlan("LGG", (-30.0, -35.0, 20.0), whole_ml=80.0, core_share=0.6, enhancing_share=0.0),
    "nodule": TumourPlan("LGG", (25.0, 30.0, 18.0), whole_ml=120.0, core_share=0.6, enhancing_share=0.1),
}
EVERY_PLAN = pytest.mark.parametrize("name", PLANS)


@cache
def grown(name: str) -> tuple[np.ndarray, dict[str, Array], dict[str, Array], Array]:
    """Return labels, fractions with and without the tumour, and the ventricles' depth, at the nodes."""
    plan = PLANS[name]
    anatomy = draw_anatomy(np.random.default_rng(1), LATTICE, plan.displaced)
    tumour = grow_tumour(np.random.default_rng(2), LATTICE, anatomy, plan)
    healthy = anatomy.fractions(lambda field: field, LATTICE.node_mm)
    label, fractions = tumour.invade(healthy, lambda field: field, LATTICE.node_mm)
    return label, fractions, healthy, anatomy.fields["ventricle"]


@EVERY_PLAN
def test_the_regions_get_the_volumes_planned(name):
    label, plan = grown(name)[0], PLANS[name]
    core_ml = plan.whole_ml * plan.core_share
    assert np.count_nonzero(label) * NODE_ML == pytest.approx(plan.whole_ml, rel=0.05)
    assert np.isin(label, (1, 4)).sum() * NODE_ML == pytest.approx(core_ml, rel=0.05)
    assert (label == 4).sum() * NODE_ML == pytest.approx(core_ml * plan.enhancing_share, rel=0.1, abs=0.1)


@EVERY_PLAN
def test_the_fractions_still_add_up_to_one(name):
    fractions = grown(name)[1]
    assert min(share.min() for share in fractions.values()) >= 0.0
    np.testing.assert_allclose(sum(fractions.values()), 1.0, atol=1e-12)


@EVERY_PLAN
def test_no_tumour_grows_into_a_ventricle(name):
    label, _, _, ventricle = grown(name)
    assert not label[ventricle > 0.0].any()


@EVERY_PLAN
def test_the_core_stays_on_its_side(name):
    label, plan = grown(name)[0], PLANS[name]
    x = LATTICE.coordinates()[0] * np.sign(plan.centre[0])
    core = np.isin(label, (1, 4))
    assert (core & (x < -9.0)).sum() < 0.02 * core.sum()


@EVERY_PLAN
def test_oedema_prefers_white_matter(name):
    label, _, healthy, _ = grown(name)
    reach = np.zeros_like(label, dtype=bool)
    nodes = np.argwhere(label == 2)
    reach[tuple(slice(low, high + 1) for low, high in zip(nodes.min(axis=0), nodes.max(axis=0), strict=True))] = True
    share = {tissue: np.mean(label[reach & (healthy[tissue] > 0.7)] == 2) for tissue in ("white", "grey")}
    assert share["white"] > 2 * share["grey"]
    assert not (label[healthy["csf"] > 0.6] == 2).any()


def test_necrosis_lies_deeper_in_the_core_than_the_rim_that_enhances():
    label = grown("ring")[0]
    outside = np.argwhere(~np.isin(label, (1, 4)) & (np.roll(label, 1, 0) + np.roll(label, -1, 0) > 0))

    def distance(region):
        points = np.argwhere(region)
        return np.mean([np.linalg.norm(outside - point, axis=1).min() for point in points])

    assert distance(label == 1) > 1.4 * distance(label == 4)


def test_a_low_grade_core_is_solid_and_a_high_grade_one_necrotic():
    assert "necrosis" not in grown("solid")[1]
    assert "nonenhancing" not in grown("ring")[1]
    assert grown("solid")[1]["enhancing"].max() == 0.0


def test_oedema_thins_out_towards_its_edge():
    label, fractions, _, _ = grown("large")
    density = fractions["oedema"][label == 2]
    assert np.quantile(density, 0.9) > 1.4 * np.quantile(density, 0.1)
