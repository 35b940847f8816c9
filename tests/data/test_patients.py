from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.data.patients import is_timepoint, patient_of, read_patients, shared_stems
from pkdr_monai.errors import InputError

CONVENTIONS = [  # two scans of one patient
    ("sub-01_ses-1", "sub-01_ses-2", "sub-01"),
    ("sub-UPENN01_ses-pre", "sub-UPENN01_ses-post", "sub-UPENN01"),
    ("sub-01", "sub-01_ses-2", "sub-01"),
    ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21", "UPENN-GBM-00001"),
    ("UCSF-PDGM-0004", "UCSF-PDGM-0004_FU001d", "UCSF-PDGM-0004"),
    ("UCSF-PDGM-0409_FU001d", "UCSF-PDGM-0409_FU003d", "UCSF-PDGM-0409"),
    ("Patient-001_week-000", "Patient-001_week-012", "Patient-001"),
    ("Patient-001_week-000-1", "Patient-001_week-000-2", "Patient-001"),
    ("BraTS-GLI-00000-000", "BraTS-GLI-00000-101", "BraTS-GLI-00000"),
    ("BraTS-PED-00001-000", "BraTS-PED-00001-001", "BraTS-PED-00001"),
    ("BraTS-MEN-RT-0001-1", "BraTS-MEN-RT-0001-2", "BraTS-MEN-RT-0001"),
    ("BraTS-SSA-00002-000", "BraTS-SSA-00002-001", "BraTS-SSA-00002"),
    ("RHUH-0001_0", "RHUH-0001_2", "RHUH-0001"),
    ("TCGA-02-0006_1996.08.23", "TCGA-02-0006_1997.02.01", "TCGA-02-0006"),
    ("PatientID_0003_Timepoint_1", "PatientID_0003_Timepoint_2", "PatientID_0003"),
    ("100001_time1", "100001_time2", "100001"),
    ("W39_1998.09.19", "W39_1999-01-02", "W39"),
    ("ann_20190131", "ann_20200131", "ann"),
    ("ann_baseline", "ann_followup1", "ann"),
    ("ann_preop", "ann_post-op", "ann"),
    ("P7_visit1", "P7_visit2", "P7"),
    ("P7-tp1", "P7-tp2", "P7"),
    ("GBM_12_session-1", "GBM_12_session-2", "GBM_12"),
    ("P7_day003", "P7_month6", "P7"),
]
OWN_PATIENTS = [
    *("Brats18_2013_11_1", "Brats18_TCIA01_221_1", "BraTS19_CBICA_AAB_1", "BraTS20_Training_001", "BraTS2021_00495"),
    *("BRATS_001", "ann", "case7", "Phantom18_0007_1", "HF0835", "EGD-0001", "study_scan1", "001"),
]


@pytest.mark.parametrize(("first", "second", "patient"), CONVENTIONS)
def test_scans_of_one_patient_have_one_patient(first: str, second: str, patient: str) -> None:
    assert patient_of(first) == patient_of(second) == patient


@pytest.mark.parametrize("name", OWN_PATIENTS)
def test_cases_of_data_sets_with_one_scan_a_patient_are_their_own_patients(name: str) -> None:
    assert patient_of(name) == name


def test_data_sets_with_one_scan_a_patient_look_like_it() -> None:
    for names in (
        [f"BraTS20_Training_{number:03}" for number in range(50)],
        [f"Brats18_2013_{number}_1" for number in range(30)] + [f"Brats18_CBICA_A{c}_1" for c in "ABCDE"],
        [f"case{number}" for number in range(5)],
        ["a", "b", "c"],
    ):
        assert shared_stems(names) == []


@pytest.mark.parametrize("ending", ["_a _b", "_1 _2", "a b", "-old -new", "-x "])
def test_names_that_look_shared_are_grouped(ending: str) -> None:
    first, _, second = ending.partition(" ")
    groups = shared_stems([f"K{number:02}{end}" for number in range(4) for end in (first, second)])
    assert groups[0] == sorted([f"K00{first}", f"K00{second}"])
    assert len(groups) == 4


def test_folders_of_time_points_are_no_patients() -> None:
    assert [is_timepoint(name) for name in ("ses-01", "week-044", "baseline", "2018.09.19", "anat", "P1", "HGG")] == [
        True, True, True, True, False, False, False
    ]  # fmt: skip


def table(folder: Path, text: str, name: str = "patients.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize(
    "text",
    ["case,patient\nx,P\ny,P\nz,Q\n", "Subject\tCase\nP\tx\nP\ty\nQ\tz\n", "case;patient_id;age\nx;P;3\ny;P;3\nz;Q;4"],
)
def test_a_table_says_whose_scans_they_are(tmp_path: Path, text: str) -> None:
    assert read_patients(table(tmp_path, text), ["x", "y"]) == {"x": "P", "y": "P"}


def test_participants_of_bids_own_the_cases_that_begin_with_them(tmp_path: Path) -> None:
    path = table(tmp_path, "participant_id\tage\nsub-1\t40\nsub-10\t50\n", "participants.tsv")
    names = ["sub-1", "sub-1_ses-1", "sub-10_ses-1"]
    assert read_patients(path, names) == {"sub-1": "sub-1", "sub-1_ses-1": "sub-1", "sub-10_ses-1": "sub-10"}
    path = table(tmp_path, "participant_id\tpatient_id\nsub-1\tann\nsub-10\tann\n", "participants.tsv")
    assert set(read_patients(path, names).values()) == {"ann"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("case,patient\nx,P\n", "does not say whose scan y is"),
        ("case,patient\nx,P\ny,Q\nx,Q\n", "gives x to the patients P and Q"),
        ("a,b\nx,P\n", "has the columns a, b: expected the columns case and patient"),
        ("", "has the columns none"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_patients(table(tmp_path, text), ["x", "y"])


def test_an_absent_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_patients(tmp_path / "absent.csv", ["x"])
