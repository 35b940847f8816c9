"""Results as a BIDS derivative: names, tables, and what the BIDS validator says of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.cli import main
from pkdr_monai.errors import InputError
from pkdr_monai.inference.bids import bids_name, write_derivative

CASES = ("sub-01_ses-2", "Brats18_2013_11_1")


def _predicted(output: Path, *names: str) -> list[dict[str, Any]]:
    """Write label maps as a prediction leaves them."""
    for name in names:
        (output / name).mkdir(parents=True, exist_ok=True)
        label = np.zeros((8, 9, 10), np.uint8)
        label[2:5, 2:5, 2:5] = 2
        image = nib.Nifti1Image(label, np.diag([2.0, 2.0, 2.0, 1.0]))
        image.header.set_xyzt_units("mm")
        nib.save(image, output / name / f"{name}_seg.nii.gz")
    return [{"case": name, "status": "done", "label_scheme": "brats2018"} for name in names]


@pytest.mark.parametrize(
    ("case", "folder", "start"),
    [
        ("sub-01", "sub-01/anat", "sub-01"),
        ("sub-01_ses-pre", "sub-01/ses-pre/anat", "sub-01_ses-pre"),
        ("sub-01_ses-pre_acq-3d_run-2", "sub-01/ses-pre/anat", "sub-01_ses-pre_acq-3d_run-2"),
        ("ann", "sub-ann/anat", "sub-ann"),
        ("sub-01_extra", "sub-sub01extra/anat", "sub-sub01extra"),
        ("BraTS-GLI-00000-000", "sub-BraTSGLI00000000/anat", "sub-BraTSGLI00000000"),
    ],
)
def test_names(case: str, folder: str, start: str) -> None:
    assert bids_name(case) == (folder, start)


def test_name_without_a_latin_letter_is_a_hash() -> None:
    folder, start = bids_name("患者")
    assert start.removeprefix("sub-").isalnum()
    assert folder == f"{start}/anat"
    assert bids_name("患者") != bids_name("病人")


def test_label_map_is_copied_and_its_labels_are_named(tmp_path: Path) -> None:
    failed = {"case": "bob", "status": "failed"}
    folder = write_derivative(tmp_path, [*_predicted(tmp_path, *CASES), failed])
    stem = folder / "sub-01" / "ses-2" / "anat" / "sub-01_ses-2_space-orig_desc-tumour_dseg"
    own = tmp_path / CASES[0] / f"{CASES[0]}_seg.nii.gz"
    assert stem.with_name(f"{stem.name}.nii.gz").read_bytes() == own.read_bytes()
    assert stem.with_name(f"{stem.name}.tsv").read_text(encoding="utf-8").splitlines() == [
        "index\tname\tabbreviation",
        "0\tbackground\tBG",
        "1\tnecrotic or non-enhancing core\tNCR",
        "2\toedema\tED",
        "4\tenhancing tumour\tET",
    ]
    description = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "pkdr"
    assert "not a medical device" in (folder / "README").read_text(encoding="utf-8")
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["sub-01", "sub-Brats182013111"]


def test_two_cases_of_one_name_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    cases = _predicted(tmp_path, "ann_1", "ann-1")
    with pytest.raises(InputError, match="ann_1 and ann-1 would both be sub-ann1 in BIDS"):
        write_derivative(tmp_path, cases)
    assert not (tmp_path / "bids").exists()


@pytest.mark.parametrize("content", [{}, {"GeneratedBy": [{"Name": "fMRIPrep"}]}, {"GeneratedBy": [3]}])
def test_another_data_set_is_left_alone(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "bids").mkdir()
    path = tmp_path / "bids" / "dataset_description.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="was not written by pkdr predict"):
        write_derivative(tmp_path, _predicted(tmp_path, "ann"))
    assert json.loads(path.read_text(encoding="utf-8")) == content


def test_another_prediction_into_the_same_folder_adds_to_it(tmp_path: Path) -> None:
    write_derivative(tmp_path, _predicted(tmp_path, "ann"))
    folder = write_derivative(tmp_path, _predicted(tmp_path, "bob"))
    assert {path.name for path in folder.glob("sub-*")} == {"sub-ann", "sub-bob"}


def test_command_writes_it(cohort: Path, runs: Path, tmp_path: Path) -> None:
    main(["predict", str(cohort), "-o", str(tmp_path), "--models", str(runs), "--fast", "--bids"])
    assert len(list((tmp_path / "bids").glob("sub-*/anat/*_space-orig_desc-tumour_dseg.nii.gz"))) == 2


@pytest.mark.slow
def test_bids_validator_accepts_it(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("bids-validator-deno")
    validator = str(beside) if beside.exists() else shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("needs the BIDS validator: pip install bids-validator-deno")
    folder = write_derivative(tmp_path, _predicted(tmp_path, *CASES))
    ran = subprocess.run([validator, "--json", str(folder)], capture_output=True, text=True, check=False)
    issues = json.loads(ran.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue.get("severity") == "error"] == []
    assert ran.returncode == 0
