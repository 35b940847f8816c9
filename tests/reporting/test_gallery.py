from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pkdr_monai.reporting.computed import Calibration
from pkdr_monai.reporting.gallery import measure_all, picture_cases, preview_cases
from pkdr_monai.reporting.run import Run
from pkdr_monai.reporting.scans import find_segmentations
from pkdr_monai.reporting.sources import Sources, open_sources


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
