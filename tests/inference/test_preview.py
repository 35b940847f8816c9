"""The picture is written with and without a tumour, cut where the tumour is largest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from pkdr_monai.drawing import REGION_COLOURS
from pkdr_monai.inference.results import _largest_cut, draw_preview


def test_the_cut_goes_through_the_largest_part() -> None:
    whole = np.zeros((5, 5, 9))
    whole[1:4, 1:4, 6] = 1
    assert _largest_cut(whole, 2) == 6
    assert _largest_cut(np.zeros((5, 5, 9)), 2) == 4


@pytest.mark.parametrize("tumour", [True, False])
def test_a_picture_is_written_with_and_without_tumour(tmp_path: Path, tumour: bool) -> None:
    image = np.random.default_rng(0).random((20, 24, 10))
    regions = np.zeros((3, 20, 24, 10), bool)
    regions[:, 8:12, 8:14, 4:7] = tumour
    draw_preview(tmp_path / "preview.png", image, regions, np.diag([1.0, 1.0, 3.0, 1.0]), ["ann", "WT 3 mL"])
    picture = imread(tmp_path / "preview.png")
    assert picture.shape == (400, 960, 4)
    drawn = np.abs(picture[..., :3] - to_rgb(REGION_COLOURS["et"])).max(axis=2) < 0.05
    assert (np.count_nonzero(drawn) > 200) == tumour  # the legend has a few
