from __future__ import annotations

import base64
import dataclasses
import gzip

import nibabel as nib
import numpy as np

from pkdr_monai.reporting.scans import Scan
from pkdr_monai.reporting.volumes import brain_box, grey_levels, tissues, viewer_case
from tests.conftest import AFFINE


def _decoded(volume: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(volume)))


def test_volumes_lie_where_they_lay_before_they_were_cut(scan: Scan) -> None:
    image = np.zeros((20, 20, 20))
    image[9, 10, 11] = 7
    case = viewer_case(Scan("a", "t2", image, AFFINE))
    cut = _decoded(case.volumes["image"])
    assert cut.shape == (5, 5, 5)
    assert cut.get_data_dtype() == np.uint8
    (place,) = np.argwhere(np.asarray(cut.dataobj) > 0)
    np.testing.assert_allclose(nib.affines.apply_affine(cut.affine, place), [108, 120, 132])
    assert case.centre == (0.5, 0.5, 0.5)


def test_truth_and_prediction_are_tissues_of_one_code(scan: Scan) -> None:
    case = viewer_case(scan)
    values = [set(np.unique(np.asarray(_decoded(case.volumes[name]).dataobj))) for name in ("truth", "prediction")]
    assert values == [{0, 1, 2, 3}, {0, 1, 2}]
    assert case.size == sum(map(len, case.volumes.values()))


def test_same_case_gives_the_same_bytes(scan: Scan) -> None:
    assert viewer_case(scan) == viewer_case(scan)


def test_box_holds_what_was_predicted_outside_of_the_brain(scan: Scan) -> None:
    image = np.zeros((20, 20, 20))
    truth = np.zeros((3, 20, 20, 20), bool)
    truth[1, 2, 3, 19] = True
    outside = dataclasses.replace(scan, image=image, truth=truth, prediction=None)
    assert brain_box(outside) == (slice(0, 5), slice(1, 6), slice(17, 20))
    assert brain_box(Scan("a", "t2", image, AFFINE)) == (slice(0, 20),) * 3


def test_grey_levels_survive_what_is_no_number() -> None:
    image = np.array([0.0, np.nan, np.inf, 1.0, 2.0])
    assert grey_levels(image).tolist() == [0, 0, 0, 127, 255]
    assert grey_levels(np.zeros(3)).tolist() == [0, 0, 0]


def test_smaller_region_wins_where_regions_contradict_each_other() -> None:
    assert tissues(np.array([0, 0, 1], bool).reshape(3, 1, 1, 1)).item() == 3
