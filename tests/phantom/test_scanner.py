from functools import cache

import numpy as np
import pytest

from pkdr_monai.phantom.scanner import Scanner, draw_scanner
from pkdr_monai.phantom.signal import TISSUES, TissueMaps

SCANNERS = pytest.mark.parametrize("seed", range(24))


@cache
def signals(seed: int, modality: str) -> dict[str, float]:
    """Return what each pure tissue reads, relative to white matter, on one scanner."""
    scanner = draw_scanner(np.random.default_rng(seed))
    columns = zip(*(tissue_row(scanner, name) for name in TISSUES), strict=True)
    values = scanner.signal(modality, TissueMaps(*(np.array(column) for column in columns)))
    return dict(zip(TISSUES, values.tolist(), strict=True))


def tissue_row(scanner: Scanner, name: str) -> tuple[float, ...]:
    tissue = TISSUES[name]
    return tissue.pd, tissue.t1[scanner.strong], tissue.t2[scanner.strong], tissue.agent, float(name == "csf")


@SCANNERS
def test_t1_shows_white_matter_over_grey_matter_over_csf(seed):
    signal = signals(seed, "t1")
    assert signal["white"] > signal["deep"] > signal["grey"] > signal["csf"]
    assert signal["white"] > signal["oedema"] > signal["necrosis"] > signal["csf"]


@SCANNERS
def test_t2_shows_csf_over_tumour_over_grey_matter_over_white_matter(seed):
    signal = signals(seed, "t2")
    assert signal["csf"] > signal["oedema"] > signal["grey"] > signal["white"]
    assert signal["necrosis"] > signal["enhancing"] > signal["grey"]


@SCANNERS
def test_flair_nulls_csf(seed):
    signal = signals(seed, "flair")
    assert signal["csf"] < 0.01
    assert signal["csf"] == min(signal.values())


@SCANNERS
def test_flair_shows_oedema_and_lesions_brighter_than_all_healthy_tissue(seed):
    signal = signals(seed, "flair")
    healthy = max(signal[name] for name in ("white", "grey", "deep", "csf", "blood"))
    assert signal["lesion"] > healthy
    assert signal["oedema"] > 1.3 * healthy


@SCANNERS
def test_t1ce_shows_the_rim_brighter_than_all_but_vessels_and_choroid_plexus(seed):
    signal = signals(seed, "t1ce")
    others = [value for name, value in signal.items() if name not in ("enhancing", "blood", "choroid")]
    assert signal["enhancing"] > 1.04 * max(others)
    assert min(signal["blood"], signal["choroid"]) > max(others)


@SCANNERS
def test_without_contrast_agent_the_rim_looks_like_oedema(seed):
    for modality in ("t1", "t2", "flair"):
        signal = signals(seed, modality)
        assert signal["enhancing"] == pytest.approx(signal["oedema"], rel=0.12)


def acquire(seed: int, modality: str = "t1", agent: float = 0.0) -> np.ndarray:
    brain = np.zeros((20, 20, 20), dtype=bool)
    brain[4:16, 4:16, 4:16] = True
    count = int(brain.sum())
    scanner = draw_scanner(np.random.default_rng(0))
    tissue = TISSUES["white"]
    values = (tissue.pd, tissue.t1[scanner.strong], tissue.t2[scanner.strong], agent, 0.0)
    maps = TissueMaps(*(np.full(count, value) for value in values))
    rng = np.random.default_rng(seed)
    return scanner.acquire(modality, maps, brain, [np.zeros(count)] * 2, (1.0, 1.0, 1.0), rng)


def test_intensities_are_positive_whole_numbers():
    image = acquire(0)
    assert image.dtype == np.int16
    assert image.min() >= 1


def test_only_t1ce_sees_the_contrast_agent():
    for modality in ("t1", "t2", "flair"):
        np.testing.assert_array_equal(acquire(0, modality), acquire(0, modality, agent=0.5))
    assert np.median(acquire(0, "t1ce", agent=0.5)) > 1.3 * np.median(acquire(0, "t1ce"))


def test_noise_is_the_generators():
    np.testing.assert_array_equal(acquire(1), acquire(1))
    assert (acquire(1) != acquire(2)).any()


def test_scanners_differ_in_field_times_gain_and_slices():
    scanners = [draw_scanner(np.random.default_rng(seed)) for seed in range(24)]
    assert {scanner.strong for scanner in scanners} == {True, False}
    for protocols in zip(*(scanner.protocols.values() for scanner in scanners), strict=True):
        assert np.ptp([protocol.tr for protocol in protocols]) > 100.0
        assert len({protocol.fwhm_mm[2] for protocol in protocols}) == 3
        gains = [protocol.white_intensity for protocol in protocols]
        assert max(gains) > 2 * min(gains)
