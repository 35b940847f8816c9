"""The contrasts and the protocols of the wide setting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from pkdr_monai.phantom.wide_scanner import (
    BIAS_MM,
    CUT,
    FAINT,
    FREE,
    MISPLACED,
    WIDE_TISSUES,
    WideProtocol,
    draw_contrast,
    draw_protocol,
)

PERFECT = WideProtocol(
    fwhm_mm=(0.1, 0.1, 0.1),
    slice_axis=2,
    slice_mm=0.0,
    kept=(1.0, 1.0, 1.0),
    ghost=(0, 2, 0.0),
    bias=(0.0, 0.0, 0.0),
    noise=0.0,
    grain=0.0,
    shift_mm=(0.0, 0.0, 0.0),
    turn=(0.0, 0.0, 0.0),
    gamma=1.0,
    offset=0.0,
    clip=100.0,
    bend=(),
    cut_mm=0.0,
    gain=100.0,
)
VOXEL = (2.0, 2.0, 2.0)
DRAWS = [draw_contrast(np.random.default_rng(seed)) for seed in range(400)]


def picture() -> np.ndarray:
    image = np.full((32, 36, 30), 0.4)
    image[10:20, 12:24, 8:22] = 1.5
    return image


def acquired(**changes) -> np.ndarray:
    image = picture()
    fields = [np.linspace(-1.0, 1.0, 32)[:, None, None] * np.ones(image.shape)] * len(BIAS_MM)
    return replace(PERFECT, **changes).acquire(image, fields, VOXEL, np.random.default_rng(0))


def test_a_perfect_scanner_changes_nothing():
    np.testing.assert_allclose(acquired(), picture())


@pytest.mark.parametrize(
    "changes",
    [
        {"fwhm_mm": (4.0, 4.0, 4.0)},
        {"slice_mm": 6.0},
        {"slice_mm": 6.0, "slice_axis": 0},
        {"kept": (0.6, 1.0, 1.0)},
        {"ghost": (1, 4, 0.1)},
        {"bias": (0.2, 0.0, 0.0)},
        {"noise": 0.05},
        {"noise": 0.05, "grain": 0.8},
        {"shift_mm": (1.0, 0.0, 0.0)},
        {"turn": (0.0, 0.03, 0.0)},
    ],
)
def test_each_artefact_changes_the_image_but_not_its_shape_or_rough_level(changes):
    image = acquired(**changes)
    assert image.shape == picture().shape
    assert not np.allclose(image, picture(), atol=1e-3)
    assert np.isfinite(image).all()
    assert image.mean() == pytest.approx(picture().mean(), rel=0.15)


def test_a_shift_is_in_millimetres():
    np.testing.assert_allclose(acquired(shift_mm=(2.0, 0.0, 0.0))[:-1], picture()[1:])


def test_thick_slices_blur_across_them_alone():
    image = acquired(slice_mm=6.0)
    assert (image[9, 16, 15], image[10, 16, 15]) == pytest.approx((0.4, 1.5))


def test_a_ghost_lies_where_the_copies_lie():
    image = np.zeros((8, 24, 8))
    image[:, 6, :] = 1.0
    ghosted = replace(PERFECT, ghost=(1, 2, 0.1)).acquire(image, [image] * 3, VOXEL, np.random.default_rng(0))
    assert ghosted[4, 18, 4] > 0.05
    assert ghosted[4, 12, 4] < 0.02


def test_truncation_rings_beside_an_edge():
    assert acquired(kept=(0.6, 1.0, 1.0)).max() > 1.55


@pytest.mark.parametrize(
    "changes", [{"gamma": 1.4}, {"bend": (0.5, 1.5, 1.0, 0.6, 1.2)}, {"clip": 98.0}, {"offset": 0.2}]
)
def test_changes_of_intensity_keep_the_order_of_voxels(changes):
    values = np.linspace(0.0, 3.0, 1000)
    rendered = replace(PERFECT, **changes).render(values)
    assert (np.diff(rendered.astype(int)) >= 0).all()
    assert rendered.min() >= 1


def test_noise_has_the_strength_that_was_drawn():
    image = acquired(noise=0.05, grain=0.8)
    flat = ndimage.binary_erosion(picture() > 1.0, iterations=2)
    assert image[flat].std() == pytest.approx(0.05, rel=0.3)


def test_only_what_may_be_misplaced_or_cut_is():
    fixed = [draw_protocol(np.random.default_rng(seed), False, False) for seed in range(300)]
    free = [draw_protocol(np.random.default_rng(seed), True, True) for seed in range(300)]
    assert not any(any(protocol.shift_mm) or protocol.cut_mm for protocol in fixed)
    assert np.mean([any(protocol.shift_mm) for protocol in free]) == pytest.approx(MISPLACED, abs=0.08)
    assert np.mean([protocol.cut_mm != 0.0 for protocol in free]) == pytest.approx(CUT, abs=0.04)
    assert max(np.abs(protocol.shift_mm).max() for protocol in free) < 1.5


def ratios(modality: str, first: str, second: str) -> np.ndarray:
    return np.array([draw[modality][first] / draw[modality][second] for draw in DRAWS])


def test_every_tissue_has_a_positive_signal_in_every_modality():
    for draw in DRAWS:
        for signals in draw.values():
            assert set(signals) == set(WIDE_TISSUES)
            assert all(np.isfinite(value) and value > 0.0 for value in signals.values())


def test_the_table_of_free_contrast_names_every_tissue_but_white_matter():
    assert all(set(ranges) == set(WIDE_TISSUES) - {"white"} for ranges in FREE.values())


def test_oedema_is_over_white_matter_in_flair_and_t2():
    assert (ratios("flair", "oedema", "white") > 1.08).all()
    assert (ratios("t2", "oedema", "white") > 1.05).all()


def test_fluid_is_dark_in_flair_and_t1_and_bright_in_t2():
    assert np.mean(ratios("flair", "csf", "white") < 0.8) > 0.97
    assert np.mean(ratios("t1", "csf", "white") < 0.8) > 0.97
    assert np.mean(ratios("t2", "csf", "grey") > 1.0) > 0.97


def test_necrosis_is_darker_than_the_rim_in_t1ce():
    assert np.mean(ratios("t1ce", "necrosis", "enhancing") < 0.9) > 0.9


def test_enhancement_is_faint_to_strong():
    rim = ratios("t1ce", "enhancing", "white")
    assert 0.5 * FAINT < np.mean(rim < 1.15) < 0.35
    assert np.quantile(rim, 0.9) > 1.5
