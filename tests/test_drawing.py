"""Every picture shows a patient the same way and a region in the same colour."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pkdr_monai.drawing import REGION_COLOURS, in_ras, plane
from pkdr_monai.regions import REGION_NAMES, REGIONS, SHOWN

ASSETS = Path(__file__).resolve().parents[1] / "pkdr_monai" / "reporting" / "assets"
RAS = np.diag([1.0, 2.0, 3.0, 1.0])


@pytest.mark.parametrize("axes", ["RAS", "LPS", "SLA", "AIR"])
def test_left_is_on_the_right_the_face_on_the_left_and_the_head_up_from_any_grid(axes: str) -> None:
    volume = np.zeros((6, 7, 8))
    volume[0, 6, 7] = 1  # left, front, top
    turn = nib.orientations.ornt_transform(nib.io_orientation(RAS), nib.orientations.axcodes2ornt(axes))
    image = nib.Nifti1Image(volume, RAS).as_reoriented(turn)
    turned, sizes = in_ras(image.get_fdata(), image.affine)
    np.testing.assert_allclose(sizes, [1, 2, 3])
    assert np.argwhere(plane(turned, 2, 7)).tolist() == [[0, 5]]
    assert np.argwhere(plane(turned, 1, 6)).tolist() == [[0, 5]]
    assert np.argwhere(plane(turned, 0, 0)).tolist() == [[0, 0]]


def test_the_pages_use_the_palette() -> None:
    swatches = dict(re.findall(r"\.swatch\.(\w+) { background: (#\w+)", (ASSETS / "page.css").read_text()))
    assert swatches == REGION_COLOURS
    table = re.search(r"TISSUES = {(.*)", (ASSETS / "viewer.js").read_text())
    assert table is not None
    red, green, blue = (eval(re.search(rf"\b{channel}: (\[[^\]]+\])", table[1])[1]) for channel in "RGB")
    tissues = [tuple(rgb) for rgb in zip(red, green, blue, strict=True)][1:]  # core, oedema, enhancing
    assert tissues == [tuple(round(255 * part) for part in to_rgb(REGION_COLOURS[name])) for name in ("tc", "wt", "et")]


def test_every_region_has_a_colour_a_name_and_a_place() -> None:
    assert set(REGION_COLOURS) == set(REGION_NAMES) == set(SHOWN) == set(REGIONS)
