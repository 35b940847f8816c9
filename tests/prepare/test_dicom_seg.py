"""A DICOM Segmentation says what the label map says, voxel for voxel, and where it comes from."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.dicom_seg import write_dicom_seg
from pkdr_monai.prepare.series import Series, read_series
from tests.prepare.conftest import ENHANCED, SHAPE

MODELS = [{"name": "any_subset", "version": "0.1.0", "sha256": "ab" * 32}]


@pytest.fixture(scope="module")
def flair(study: Path) -> Series:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    (series,) = read_series(study / "flair")
    return series


@pytest.fixture(scope="module")
def label(direct: Path, patient: PhantomCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("label") / "a_seg.nii.gz"
    nib.save(nib.Nifti1Image(patient.label, nib.load(direct).affine), path)
    return path


def test_it_equals_the_label_map_voxel_for_voxel(
    flair: Series, label: Path, patient: PhantomCase, tmp_path: Path
) -> None:
    import highdicom

    write_dicom_seg(tmp_path / "a.dcm", label, "brats2018", flair, MODELS)
    seg = highdicom.seg.segread(tmp_path / "a.dcm")
    uids = [uid for _, _, uid in seg.get_source_image_uids()]
    sources = sorted(flair.files)
    import pydicom

    ordered = [str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in sources]
    assert set(ordered) >= set(uids)
    read = seg.get_pixels_by_source_instance(ordered, assert_missing_frames_are_empty=True)  # (Z, Y, X, 3)
    tc, wt, et = np.moveaxis(read, -1, 0).transpose(0, 3, 2, 1)
    assert wt.shape == SHAPE
    assert patient.label.any()
    assert np.array_equal(tc, np.isin(patient.label, (1, 4)))
    assert np.array_equal(wt, patient.label > 0)
    assert np.array_equal(et, patient.label == 4)


def test_one_of_a_multi_frame_series_equals_the_label_map_too(
    study: Path, label: Path, patient: PhantomCase, tmp_path: Path
) -> None:
    highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")
    (series,) = read_series(study / ENHANCED)
    write_dicom_seg(tmp_path / "a.dcm", label, "brats2018", series, MODELS)
    seg = highdicom.seg.segread(tmp_path / "a.dcm")
    ((_, _, uid),) = seg.get_source_image_uids()
    frames = range(1, SHAPE[2] + 1)
    read = seg.get_pixels_by_source_frame(uid, list(frames), assert_missing_frames_are_empty=True)  # (Z, Y, X, 3)
    wt = read[..., 1].transpose(2, 1, 0)
    assert np.array_equal(wt, patient.label > 0)


def test_codes_algorithm_and_references_are_stated(flair: Series, label: Path, tmp_path: Path) -> None:
    import pydicom

    write_dicom_seg(tmp_path / "a.dcm", label, "brats2018", flair, MODELS)
    write_dicom_seg(tmp_path / "b.dcm", label, "brats2018", flair, MODELS)
    seg, again = pydicom.dcmread(tmp_path / "a.dcm"), pydicom.dcmread(tmp_path / "b.dcm")
    assert seg.SOPInstanceUID == again.SOPInstanceUID
    assert seg.StudyInstanceUID == flair.study
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == flair.uid
    codes = [segment.SegmentedPropertyTypeCodeSequence[0].CodeValue for segment in seg.SegmentSequence]
    assert codes == ["108369006", "52988006", "C113842"]
    algorithm = seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "PKDR any_subset"
    assert algorithm.AlgorithmVersion.startswith("0.1.0")


def test_a_label_map_of_another_grid_is_refused(flair: Series, label: Path, tmp_path: Path) -> None:
    image = nib.load(label)
    moved = image.affine.copy()
    moved[0, 3] += 1
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), tmp_path / "moved_seg.nii.gz")
    with pytest.raises(InputError, match="lies on another grid"):
        write_dicom_seg(tmp_path / "a.dcm", tmp_path / "moved_seg.nii.gz", "brats2018", flair, MODELS)
    assert not (tmp_path / "a.dcm").exists()
