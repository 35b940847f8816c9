"""What predict refuses is what `pkdr data check` refuses; --force makes a warning of what a person may insist on."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data import find_cases
from pkdr_monai.data.checks import check_cases
from pkdr_monai.errors import InputError
from pkdr_monai.inference.scans import Scan, check_scan, find_scans
from pkdr_monai.modalities import MODALITIES


def test_a_synthetic_case_passes(scan: Scan) -> None:
    assert check_scan(scan, MODALITIES) == []


@pytest.mark.parametrize("scale", [0.5, 0.1, 0.001])
def test_a_brain_in_wrong_units_is_refused_at_both_doors(scan: Scan, tmp_path: Path, scale: float) -> None:
    image = nib.load(scan.paths(["t2"])[0])
    affine = image.affine.copy()
    affine[:3] *= scale
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), tmp_path / "a_t2.nii.gz")
    (small,) = find_scans([tmp_path])
    with pytest.raises(InputError, match=r"check its voxel size|no inverse"):
        check_scan(small, ["t2"])
    (problem,) = check_cases(find_cases(tmp_path, labels=False).cases, tmp_path, "brats2018", ["t2"], need_label=False)
    assert problem.severity == "error"
    if scale > 0.01:
        assert "a whole brain has at least 250" in check_scan(small, ["t2"], force=True)[0]


@pytest.mark.real
def test_every_real_brain_passes(real_data: Path) -> None:
    cohort = find_cases(real_data / "brats2018")
    assert len(cohort.cases) == 24
    for case in cohort.cases:
        assert check_scan(Scan(case, cohort.folder), MODALITIES) is not None, case.name
    (decathlon,) = find_scans([real_data / "msd" / "Task01_BrainTumour"])
    assert check_scan(decathlon, ["t2", "flair"]) == []
