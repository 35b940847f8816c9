"""Scans are found by the names of their files, or as named; what is unclear is asked back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data import find_cases
from pkdr_monai.data.checks import check_cases
from pkdr_monai.errors import InputError
from pkdr_monai.inference.scans import Scan, check_scan, find_scans
from pkdr_monai.modalities import MODALITIES


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "ann/ann_flair.nii.gz", "ann/ann_seg.nii.gz", "bob/bob-t1n.nii", "bob/bob-t2w.nii")
    ann, bob = find_scans([tmp_path])
    assert (ann.name, ann.modalities, ann.missing) == ("ann", ("flair",), ("t1", "t1ce", "t2"))
    assert (bob.name, bob.modalities) == ("bob", ("t1", "t2"))
    assert ann.case.label is None
    assert bob.item(["t2"]) == {"case": "bob", "image": [str(tmp_path / "bob/bob-t2w.nii")]}


def test_results_among_the_scans_are_no_scans(tmp_path: Path) -> None:
    touch(tmp_path, "ann_flair.nii.gz", "out/ann/ann_seg.nii.gz", "out/ann/ann_probabilities.nii.gz")
    assert [scan.name for scan in find_scans([tmp_path])] == ["ann"]


def test_named_files_need_no_telling_names(tmp_path: Path) -> None:
    first, second = touch(tmp_path, "series7.nii.gz", "series9.nii.gz")
    (scan,) = find_scans(named={"flair": first, "t2": second})
    assert (scan.name, scan.modalities) == ("series7", ("t2", "flair"))
    (scan,) = find_scans(named={"flair": touch(tmp_path, "ann_flair.nii.gz")[0]})
    assert scan.name == "ann"


def test_a_decathlon_file_gives_the_channels_of_its_modalities(write_task01: Callable[..., Path]) -> None:
    (scan,) = find_scans([write_task01("BRATS_001")])
    item = scan.item(["t2", "flair"])
    assert (item["case"], item["channels"]) == ("BRATS_001", [3, 0])
    assert scan.paths(["t2", "flair"]) == [Path(item["image"])]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ["series7.nii.gz"],
            r"\(its name says no modality\): name what it is: --flair FILE",
        ),
        (["ann_flair.dcm"], "is not a NIfTI file"),
        (["ann_seg.nii.gz"], "holds labels alone"),
    ],
)
def test_files_that_do_not_tell_are_refused(tmp_path: Path, names: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        find_scans(touch(tmp_path, *names))


def test_a_folder_among_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder among files"):
        find_scans([tmp_path, *touch(tmp_path, "ann_flair.nii.gz")])
    with pytest.raises(InputError, match="there is no file"):
        find_scans([tmp_path / "absent_flair.nii.gz"])


def test_both_or_neither_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not both"):
        find_scans()
    with pytest.raises(InputError, match="not both"):
        find_scans([tmp_path], {"flair": tmp_path})


def test_a_scan_whose_file_names_two_modalities_is_found_to_be_refused(tmp_path: Path) -> None:
    touch(tmp_path, "P1/T1.nii.gz", "P1/T2_to_T1.nii.gz")
    (scan,) = find_scans([tmp_path])
    assert scan.modalities == ("t1",)
    with pytest.raises(InputError, match=r"'T2' \(t2\) and 'T1' \(t1\).*--t2 FILE or --t1 FILE"):
        scan.case.refuse_unclear()


def test_cases_that_differ_in_letter_case_alone_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "ann_t2.nii.gz", "Ann_t2.nii.gz")
    with pytest.raises(InputError, match="'Ann' and 'ann', one name but for letter case"):
        find_scans([tmp_path])


def test_what_brain_extraction_writes_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "ann_t2_bet.nii.gz", "ann_t2_bet_mask.nii.gz", "P1/brain_t2.nii", "P2/brain_t2.nii")
    assert [(scan.name, scan.modalities) for scan in find_scans([tmp_path])] == [
        ("P1", ("t2",)),
        ("P2", ("t2",)),
        ("ann", ("t2",)),
    ]


def test_a_person_counts_more_than_a_sidecar_and_reads_of_the_contradiction(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").touch()
    times = '{"EchoTime": 0.098, "RepetitionTime": 4.5, "ScanningSequence": "SE"}'
    (tmp_path / "x.json").write_text(times, encoding="utf-8")
    (scan,) = find_scans(named={"flair": tmp_path / "x.nii.gz"})
    assert scan.modalities == ("flair",)
    ((_, note),) = scan.case.notes
    assert note.startswith(
        "it is given as flair, which counts, but its sidecar x.json says t2 (spin echo with TE 98 ms"
    )
    (scan,) = find_scans(named={"t2": tmp_path / "x.nii.gz"})
    assert scan.case.notes == ()
    (scan,) = find_scans([tmp_path / "x.nii.gz"])
    assert scan.modalities == ("t2",)


def test_files_that_are_named_after_two_cases_are_doubted_and_one_file_is_one_modality(tmp_path: Path) -> None:
    flair, own, other = touch(tmp_path, "ann_flair.nii.gz", "ann_t2.nii.gz", "bob_t2.nii.gz")
    (scan,) = find_scans(named={"flair": flair, "t2": own})
    assert scan.case.notes == ()
    (scan,) = find_scans(named={"flair": flair, "t2": other})
    ((path, note),) = scan.case.notes
    assert (Path(path), note) == (
        other,
        "by its name it is of bob, the file beside it of ann, perhaps another patient",
    )
    with pytest.raises(InputError, match=r"ann_t2\.nii\.gz is given as flair and as t2"):
        find_scans(named={"flair": own, "t2": tmp_path / "." / "ann_t2.nii.gz"})


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
