import numpy as np

from pkdr_monai.phantom.wide_scanner import FAINT, FREE, WIDE_TISSUES, draw_contrast

DRAWS = [draw_contrast(np.random.default_rng(seed)) for seed in range(400)]


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
