from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data.cases import Case
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.errors import InputError
from pkdr_monai.reporting.volumes import Predicted, ShownCase, canonical, read_volumes
from tests.conftest import AFFINE, SHAPE


def _case(cohort: Path) -> Case:
    return find_cases(cohort).cases[0]


def test_tumour_is_shown_in_flair_unless_the_network_does_not_see_it(cohort: Path) -> None:
    shown = [read_volumes(_case(cohort), cohort, "brats2018", seen, None) for seen in (("t1", "t2", "flair"), ("t1",))]
    assert [scan.modality for scan in shown] == ["flair", "t1"]
    assert shown[0].truth is not None
    assert shown[0].image.shape == shown[0].truth.shape[1:] == SHAPE


def test_every_volume_is_turned_as_nibabel_turns_it() -> None:
    affine = np.array([[0, -2.0, 0, 5], [-1.0, 0, 0, 7], [0, 0, 3.0, 1], [0, 0, 0, 1]])
    voxels = np.random.default_rng(0).random((2, 3, 4))
    expected = nib.as_closest_canonical(nib.Nifti1Image(voxels, affine))
    turned, turned_affine = canonical(voxels, affine)
    np.testing.assert_array_equal(turned, expected.get_fdata())
    np.testing.assert_allclose(turned_affine, expected.affine)
    np.testing.assert_array_equal(canonical(np.stack([voxels, 2 * voxels], -1), affine)[0][..., 1], 2 * turned)


def test_regions_of_a_scan_are_those_that_are_there(scan: ShownCase) -> None:
    assert list(scan.regions) == ["truth", "prediction"]
    assert ShownCase("a", "t2", scan.image, AFFINE).regions == {}


@pytest.mark.parametrize(
    ("shape", "affine", "complaint"),
    [((4, 4, 4), AFFINE, "the prediction has"), (SHAPE, np.diag([1.0, 8, 8, 1]), "another affine")],
)
def test_prediction_on_another_grid_is_refused(
    cohort: Path, shape: tuple[int, ...], affine: np.ndarray, complaint: str
) -> None:
    prediction = Predicted(np.zeros((3, *shape), bool), affine)
    with pytest.raises(InputError, match=complaint):
        read_volumes(_case(cohort), cohort, "brats2018", ("t2",), prediction)


def test_a_scan_is_placed_by_the_geometry_that_its_case_chose(cohort: Path) -> None:
    case = _case(cohort)
    for path in {case.modalities["t2"], str(case.label)}:
        image = nib.load(cohort / path)
        contradicting = nib.Nifti1Image(np.asarray(image.dataobj), image.affine)
        contradicting.header["pixdim"][1:4] = 1
        contradicting.header["qform_code"] = 0
        nib.save(contradicting, cohort / path)
    with pytest.raises(InputError, match="states two geometries"):
        read_volumes(case, cohort, "brats2018", ("t2",), None)
    chosen = read_volumes(replace(case, geometry="sform"), cohort, "brats2018", ("t2",), None)
    np.testing.assert_allclose(np.linalg.norm(chosen.affine[:3, :3], axis=0), np.diag(AFFINE)[:3])


def test_broken_image_is_one_sentence(cohort: Path) -> None:
    case = _case(cohort)
    (cohort / case.modalities["t2"]).write_bytes(b"")
    with pytest.raises(InputError, match="case a cannot be read: the file is empty"):
        read_volumes(case, cohort, "brats2018", ("t2",), None)
