from functools import cache

import numpy as np
import pytest

from pkdr_monai.phantom.anatomy import Anatomy, draw_anatomy
from pkdr_monai.phantom.lattice import Array, Lattice

LATTICE = Lattice()
NODE_ML = LATTICE.node_mm**3 / 1000.0
HEADS = pytest.mark.parametrize("seed", range(4))


@cache
def head(seed: int) -> tuple[Anatomy, dict[str, Array], Array]:
    """Return a head, its fractions at the nodes, and where its brain is."""
    anatomy = draw_anatomy(np.random.default_rng(seed), LATTICE, displaced=lambda point: point)
    return anatomy, anatomy.fractions(lambda field: field, LATTICE.node_mm), anatomy.fields["brain"] > 0.0


@HEADS
def test_the_fractions_of_a_voxel_add_up_to_one(seed):
    _, fractions, _ = head(seed)
    assert min(share.min() for share in fractions.values()) >= 0.0
    np.testing.assert_allclose(sum(fractions.values()), 1.0, atol=1e-12)


@HEADS
def test_the_brain_has_an_adults_volumes(seed):
    _, fractions, brain = head(seed)
    volume = {name: float(share[brain].sum()) * NODE_ML for name, share in fractions.items()}
    assert 1200.0 < brain.sum() * NODE_ML < 1800.0
    assert 400.0 < volume["white"] < 700.0
    assert 550.0 < volume["grey"] < 900.0
    assert 100.0 < volume["csf"] < 350.0
    assert 15.0 < volume["deep"] < 60.0
    assert volume["blood"] + volume["choroid"] < 50.0


@HEADS
def test_the_brain_lies_within_the_lattice(seed):
    _, _, brain = head(seed)
    assert not brain[[0, -1]].any()
    assert not brain[:, [0, -1]].any()
    assert not brain[:, :, -1].any()  # below, the brain stem continues: the image's edge cuts it


@HEADS
def test_the_two_hemispheres_are_alike_but_not_mirrored(seed):
    _, fractions, _ = head(seed)
    white = fractions["white"]
    middle = white.shape[0] // 2
    left, right = white[:middle], white[:middle:-1]
    assert left.sum() == pytest.approx(right.sum(), rel=0.12)
    assert np.abs(left - right).mean() > 0.02


@HEADS
def test_cortex_covers_white_matter(seed):
    anatomy, fractions, brain = head(seed)
    near_surface = brain & (anatomy.fields["surface"] < 3.0) & (anatomy.fields["height"] > 10.0)
    deep = brain & (anatomy.fields["surface"] > 40.0) & (anatomy.fields["height"] > 10.0)
    assert fractions["grey"][near_surface].mean() > 4 * fractions["white"][near_surface].mean()
    assert fractions["white"][deep].mean() > 2 * fractions["grey"][deep].mean()


def test_heads_differ():
    brains = [head(seed)[2] for seed in range(4)]
    assert len({int(brain.sum()) for brain in brains}) == 4


def test_lesions_grow_with_their_load():
    anatomy, _, _ = head(0)
    loads = [
        Anatomy(anatomy.fields, anatomy.cerebrum, anatomy.gap_mm, load)
        .fractions(lambda field: field, LATTICE.node_mm)["lesion"]
        .sum()
        * NODE_ML
        for load in (0.0, 0.5, 1.0)
    ]
    assert loads[0] < 8.0
    assert loads[0] < loads[1] < loads[2] < 90.0


def test_a_mass_pushes_the_ventricles_away():
    def displaced(point):
        x, y, z = point
        pull = 0.3 * np.exp(-0.5 * ((x - 25.0) ** 2 + y**2 + (z - 15.0) ** 2) / 30.0**2)
        return x - pull * (x - 25.0), y - pull * y, z - pull * (z - 15.0)

    x = LATTICE.coordinates()[0]
    pushed = draw_anatomy(np.random.default_rng(0), LATTICE, displaced).fields["ventricle"] > 0.0
    free = head(0)[0].fields["ventricle"] > 0.0
    assert (x * pushed).sum() / pushed.sum() < (x * free).sum() / free.sum() - 1.0
