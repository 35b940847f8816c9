from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from pkdr_monai.drawing import REGION_COLOURS
from pkdr_monai.reporting.gallery import overlay, thumbnail
from pkdr_monai.reporting.volumes import ShownCase
from tests.conftest import AFFINE


def _pixels(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"), float)


def _has(pixels: np.ndarray, colour: str) -> bool:
    return bool((np.abs(pixels - 255 * np.array(to_rgb(colour))).max(axis=2) < 12).any())


def test_outlines_bear_the_colours_of_the_legend(scan: ShownCase) -> None:
    pixels = _pixels(overlay(scan))
    truth, prediction = np.array_split(pixels, 2)
    assert [_has(truth, REGION_COLOURS[region]) for region in ("wt", "et")] == [True, True]
    assert [_has(prediction, REGION_COLOURS[region]) for region in ("wt", "tc", "et")] == [True, True, False]


def test_case_with_an_image_alone_is_drawn_too(scan: ShownCase) -> None:
    pixels = _pixels(overlay(dataclasses.replace(scan, truth=None, prediction=None)))
    assert pixels.std() > 10
    assert not any(_has(pixels, colour) for colour in REGION_COLOURS.values())


def test_empty_image_is_no_error() -> None:
    assert _pixels(overlay(ShownCase("a", "t2", np.zeros((4, 5, 6)), AFFINE))).size


def test_thumbnail_shows_the_sequences_side_by_side_and_tints_the_tumour(scan: ShownCase) -> None:
    tissue = scan.truth[1].astype(np.uint8) * 2
    pixels = _pixels(thumbnail([scan.image, scan.image], tissue))
    assert pixels.shape[:2] == (scan.image.shape[1], 2 * scan.image.shape[0])
    assert (pixels[..., 2] - pixels[..., 0]).max() > 30  # oedema is blue
    large = thumbnail([np.ones((300, 200, 4))], None)
    assert _pixels(large).shape[:2] == (67, 100)
