"""Cases are shown with their pictures and with volumes small enough for a page; one bad case does not stop the rest."""

from __future__ import annotations

import base64
import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from pkdr_monai.reporting.computed import Calibration
from pkdr_monai.reporting.gallery import (
    brain_box,
    grey_levels,
    measure_all,
    picture_cases,
    preview_cases,
    tissues,
    viewer_case,
)
from pkdr_monai.reporting.run import Run
from pkdr_monai.reporting.sources import Sources, open_sources
from pkdr_monai.reporting.volumes import ShownCase, find_segmentations
from tests.conftest import AFFINE


def _sources(cohort: Path, predictions: Path) -> Sources:
    return open_sources(Run(cohort), cohort, predictions=predictions)


def test_one_bad_case_does_not_stop_the_rest(cohort: Path, make_predictions: Callable[..., Path]) -> None:
    sources = _sources(cohort, make_predictions())
    (cohort / "b" / "b_flair.nii.gz").write_bytes(b"")
    gallery = picture_cases(["a", "b", "c"], sources)
    assert [case.name for case in gallery.pictured] == ["a", "c"]
    assert [case.viewer for case in gallery.pictured] == [0, 1]
    assert gallery.notes == ["A picture of b: case b cannot be read: the file is empty; copy or download it again."]


def test_cases_beyond_the_budget_keep_their_picture(cohort: Path, make_predictions: Callable[..., Path]) -> None:
    sources = _sources(cohort, make_predictions())
    size = picture_cases(["a"], sources).viewer[0].size
    gallery = picture_cases(["a", "b", "c"], sources, budget=2 * size)
    assert [case.viewer for case in gallery.pictured] == [0, 1, None]
    assert gallery.notes == ["c in the viewer: the page would grow too large. Ask for fewer cases."]


def test_caption_tells_the_dice_of_what_is_shown(cohort: Path, make_predictions: Callable[..., Path]) -> None:
    (case,) = picture_cases(["a"], _sources(cohort, make_predictions())).pictured
    assert case.caption == "flair; Dice of the prediction shown: TC 1.000, WT 1.000, ET 0.000."
    assert case.alt == "Sagittal, coronal and axial slice of a (flair) with outlines of truth and prediction."


def test_every_case_with_a_label_is_measured(cohort: Path, make_predictions: Callable[..., Path]) -> None:
    sources, calibration = _sources(cohort, make_predictions()), Calibration()
    scores, notes = measure_all(["a", "b"], sources, calibration)
    assert scores["dice"] == {"a": (1.0, 1.0, 0.0), "b": (1.0, 1.0, 0.0)}
    assert set(scores["hd95"]) == {"a", "b"}
    assert notes == []
    assert calibration.cases == ["a", "b"]


def test_previews_stand_in_where_there_are_no_images(make_predictions: Callable[..., Path]) -> None:
    folder = make_predictions(["a", "b"])
    (folder / "a" / "preview.png").write_bytes(b"PNG")
    gallery = preview_cases(["a", "b", "unknown"], find_segmentations(folder))
    assert [case.name for case in gallery.pictured] == ["a"]
    assert gallery.pictured[0].overlay == "data:image/png;base64,UE5H"


def _decoded(volume: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(volume)))


def test_volumes_lie_where_they_lay_before_they_were_cut(scan: ShownCase) -> None:
    image = np.zeros((20, 20, 20))
    image[9, 10, 11] = 7
    case = viewer_case(ShownCase("a", "t2", image, AFFINE))
    cut = _decoded(case.volumes["image"])
    assert cut.shape == (5, 5, 5)
    assert cut.get_data_dtype() == np.uint8
    (place,) = np.argwhere(np.asarray(cut.dataobj) > 0)
    np.testing.assert_allclose(nib.affines.apply_affine(cut.affine, place), [108, 120, 132])
    assert case.centre == (0.5, 0.5, 0.5)


def test_truth_and_prediction_are_tissues_of_one_code(scan: ShownCase) -> None:
    case = viewer_case(scan)
    values = [set(np.unique(np.asarray(_decoded(case.volumes[name]).dataobj))) for name in ("truth", "prediction")]
    assert values == [{0, 1, 2, 3}, {0, 1, 2}]
    assert case.size == sum(map(len, case.volumes.values()))


def test_same_case_gives_the_same_bytes(scan: ShownCase) -> None:
    assert viewer_case(scan) == viewer_case(scan)


def test_box_holds_what_was_predicted_outside_of_the_brain(scan: ShownCase) -> None:
    image = np.zeros((20, 20, 20))
    truth = np.zeros((3, 20, 20, 20), bool)
    truth[1, 2, 3, 19] = True
    outside = dataclasses.replace(scan, image=image, truth=truth, prediction=None)
    assert brain_box(outside) == (slice(0, 5), slice(1, 6), slice(17, 20))
    assert brain_box(ShownCase("a", "t2", image, AFFINE)) == (slice(0, 20),) * 3


def test_grey_levels_survive_what_is_no_number() -> None:
    image = np.array([0.0, np.nan, np.inf, 1.0, 2.0])
    assert grey_levels(image).tolist() == [0, 0, 0, 127, 255]
    assert grey_levels(np.zeros(3)).tolist() == [0, 0, 0]


def test_smaller_region_wins_where_regions_contradict_each_other() -> None:
    assert tissues(np.array([0, 0, 1], bool).reshape(3, 1, 1, 1)).item() == 3
