from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.reporting.volumes import find_segmentations
from tests.conftest import SHAPE, save


def test_regions_and_probabilities_are_read(make_predictions: Callable[..., Path]) -> None:
    predicted = find_segmentations(make_predictions())["a"].read("brats2018")
    assert predicted.regions.shape == (3, *SHAPE)
    assert [int(region.sum()) for region in predicted.regions] == [12, 48, 0]
    assert predicted.probabilities is not None
    assert predicted.probabilities[1].max() == np.float32(0.8)


def test_files_of_the_bundle_are_known_by_their_case(tmp_path: Path) -> None:
    save(tmp_path / "ann_t2_seg.nii.gz", np.zeros(SHAPE, np.uint8))
    (tmp_path / "preview.png").write_bytes(b"")
    found = find_segmentations(tmp_path)
    assert list(found) == ["ann"]
    assert found["ann"].probabilities is None
    assert found["ann"].preview == tmp_path / "preview.png"


def test_data_set_is_not_taken_for_predictions(cohort: Path) -> None:
    with pytest.raises(InputError, match="holds scans beside its _seg files"):
        find_segmentations(cohort)


def test_two_segmentations_of_one_case_are_refused(tmp_path: Path) -> None:
    for name in ("a_seg.nii.gz", "a_t2_seg.nii.gz"):
        save(tmp_path / name, np.zeros(SHAPE, np.uint8))
    with pytest.raises(InputError, match="two segmentations of a"):
        find_segmentations(tmp_path)


@pytest.mark.parametrize(
    ("probabilities", "complaint"),
    [(np.zeros((*SHAPE, 2), np.float32), "one channel a region"), (np.full((*SHAPE, 3), 255.0), "outside of 0 to 1")],
)
def test_what_cannot_be_probabilities_is_refused(tmp_path: Path, probabilities: np.ndarray, complaint: str) -> None:
    save(tmp_path / "a_seg.nii.gz", np.zeros(SHAPE, np.uint8))
    save(tmp_path / "a_probabilities.nii.gz", probabilities)
    with pytest.raises(InputError, match=complaint):
        find_segmentations(tmp_path)["a"].read("brats2018")


def test_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a_seg.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match="the file is empty"):
        find_segmentations(tmp_path)["a"].read("brats2018")
