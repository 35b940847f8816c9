"""A brain passes, whatever its size and contrast; a head, a CT, a normalised image and a mask do not."""

from __future__ import annotations

import numpy as np
import pytest

from pkdr_monai.data.voxels import scan_findings

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def brain(side: int = 80, radius: float = 34) -> np.ndarray:
    """Return a ball of noisy values above 0, 1317 mL at 2 mm."""
    axis = np.arange(side) - (side - 1) / 2
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    values = np.random.default_rng(0).integers(50, 200, (side, side, side))
    return np.where(square < radius**2, values, 0).astype(np.float32)


def zscored(image: np.ndarray) -> np.ndarray:
    return (image - image.mean()) / image.std()


def test_a_brain_passes_also_when_cut_to_its_own_box() -> None:
    assert list(scan_findings(brain(), AFFINE)) == []
    assert list(scan_findings(brain(68), AFFINE)) == []


def test_a_few_negative_voxels_at_an_edge_pass() -> None:
    image = brain()
    image[::20, ::7] *= -1
    assert list(scan_findings(image, AFFINE)) == []


@pytest.mark.parametrize(
    ("image", "what", "forcible"),
    [
        (np.where(brain() > 0, 40, -1024), "looks like a CT", False),
        (2 * brain() / 200 - 1, "many negative values", False),
        (zscored(brain()), "many negative values", False),
        (brain() + 0.01, "has a background of 0.01, expected 0", True),
        (np.maximum(brain(), np.random.default_rng(1).rayleigh(5, (80, 80, 80))), "does not look skull-stripped", True),
        (brain(110, 46), "in 3,26", True),
        (brain()[..., 39:41], "in 2 slices", False),
        (np.where(brain() > 0, 700, 0), "holds 1 grey value,", False),
        (np.round(brain() / 60), "holds 3 grey values, as a mask or a label map", False),
        (np.repeat(brain()[::20], 20, axis=0), "one value over whole areas", False),
        (brain(40, 17), "165 mL; a whole brain has at least 250", True),
    ],
)
def test_what_is_no_brain_as_scanned_is_named(image: np.ndarray, what: str, forcible: bool) -> None:
    (finding,) = scan_findings(image, AFFINE)
    assert what in finding.what
    assert finding.forcible is forcible
    assert finding.fix


@pytest.mark.parametrize("unit", [0.5, 0.1, 0.001])
def test_a_brain_in_wrong_units_is_too_small(unit: float) -> None:
    (finding,) = scan_findings(brain(), np.diag([2 * unit] * 3 + [1.0]))
    assert "a whole brain has at least 250" in finding.what
    assert "voxel size" in finding.fix
