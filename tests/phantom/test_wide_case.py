import hashlib

import numpy as np
import pytest
from scipy import ndimage

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom import PhantomCase, make_case
from pkdr_monai.phantom.wide import make_wide_case

SHAPE, SPACING = (48, 56, 40), (4.0, 4.0, 4.0)
VERSION_1 = {
    (11, (96, 112, 80), 2.0): "bce2acb7f35a4c7c07bff5718c160323501c937022524d2117a8c46fae6133af",
    (12, (60, 60, 40), 4.0): "afa16842ea8209dd456c12726398448134fcd005c40e7da2c4aebd944c51a7e3",
}


def digest(case: PhantomCase) -> str:
    content = hashlib.sha256()
    for modality in ("t1", "t1ce", "t2", "flair"):
        content.update(case.images[modality].tobytes())
    content.update(case.label.tobytes())
    content.update(case.tissue.tobytes())
    return content.hexdigest()


@pytest.mark.parametrize(("recipe", "bytes_then"), VERSION_1.items())
def test_version_1_keeps_its_bytes(recipe, bytes_then):
    seed, shape, spacing = recipe
    assert digest(make_case(seed, shape, (spacing,) * 3)) == bytes_then


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (digest(make_wide_case(seed, SHAPE, SPACING)) for seed in (4, 4, 5))
    assert first == again != other


@pytest.mark.slow
def test_patients_are_valid():
    healthy = 0
    for seed in range(0, 200, 3):
        case = make_wide_case(seed, SHAPE, SPACING)
        images = np.stack([case.images[modality] for modality in MODALITIES])
        brain = case.tissue > 0
        assert images.dtype == np.int16
        assert case.label.dtype == np.uint8
        assert set(np.unique(case.label)) <= {0, 1, 2, 4}
        assert not images[:, ~brain].any(), seed
        assert all((image[brain] > 0).mean() > 0.7 for image in images), seed
        assert all(image[brain].std() > 1.0 for image in images), seed
        assert sum((image[brain] > 0).all() for image in images) >= 3  # at most one field of view is too small
        assert not case.label[~brain].any(), seed
        assert case.has_et == (case.label == 4).any()
        assert 400.0 < brain.sum() * 0.064 < 2200.0, seed  # mL
        if case.grade == "none":
            healthy += 1
            assert not case.label.any()
    assert 2 <= healthy <= 14


def test_a_tumours_regions_hang_together():
    shares = []
    for seed in range(30):
        case = make_wide_case(seed, SHAPE, SPACING)
        if case.label.any():
            core = np.isin(case.label, (1, 4))
            near = ndimage.binary_dilation(case.label == 2, iterations=3)
            shares.append((core & ndimage.binary_dilation(near, iterations=8)).sum() / max(core.sum(), 1))
    assert np.median(shares) > 0.9


def test_a_head_has_the_same_place_at_every_voxel_size():
    coarse, fine = make_wide_case(3, SHAPE, SPACING), make_wide_case(3, (96, 112, 80), (2.0, 2.0, 2.0))
    volumes = [np.count_nonzero(case.label) * size for case, size in ((coarse, 0.064), (fine, 0.008))]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="expected a seed"):
        make_wide_case(-1)
