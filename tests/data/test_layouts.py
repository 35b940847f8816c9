from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.data.layouts import cases_of_files, find_brats_cases, scheme_of_endings
from pkdr_monai.errors import InputError


def touch(folder: Path, *files: str) -> Path:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def brats_files(folder: str, names: str = "_t1 _t1ce _t2 _flair _seg", ending: str = ".nii.gz") -> list[str]:
    return [f"{folder}/{Path(folder).name}{name}{ending}" for name in names.split()]


NAMES_2023 = "-t1n -t1c -t2w -t2f -seg"


@pytest.mark.parametrize(
    ("folder", "names", "ending", "grade", "scheme"),
    [
        ("HGG/Brats18_2013_11_1", "_t1 _t1ce _t2 _flair _seg", ".nii.gz", "HGG", "brats2018"),
        ("MICCAI_BraTS_2018_Data_Training/lgg/Brats18_1", "_t1 _t1ce _t2 _flair _seg", ".nii.gz", "LGG", "brats2018"),
        ("BraTS20_Training_001", "_t1 _t1ce _t2 _flair _seg", ".nii", None, "brats2018"),
        ("BraTS2021_00000", "_t1 _t1ce _t2 _flair _seg", ".nii.gz", None, "brats2018"),
        ("BraTS-GLI-00000-000", NAMES_2023, ".nii.gz", None, "brats2023"),
        ("BraTS-GLI-00000-000", "-T1N -t1C -t2W -T2F -SEG", ".NII.GZ", None, "brats2023"),
        ("BraTS-SSA-00002-000", NAMES_2023, ".nii", None, "brats2023"),
    ],
)
def test_every_years_layout_is_understood(
    tmp_path: Path, folder: str, names: str, ending: str, grade: str | None, scheme: str
) -> None:
    files = brats_files(folder, names, ending)
    cases = find_brats_cases(touch(tmp_path, *files))
    assert len(cases) == 1
    assert cases[0].name == Path(folder).name
    assert cases[0].modalities == dict(zip(("t1", "t1ce", "t2", "flair"), files[:4], strict=True))
    assert cases[0].label == files[4]
    assert cases[0].grade == grade
    assert cases[0].channels is None
    assert scheme_of_endings(cases) == scheme


def test_files_without_a_folder_for_each_case_are_grouped_by_name(tmp_path: Path) -> None:
    cases = find_brats_cases(touch(tmp_path, "a_t1.nii.gz", "a_t2.nii.gz", "b_t2.nii.gz"))
    assert {case.name: list(case.modalities) for case in cases} == {"a": ["t1", "t2"], "b": ["t2"]}


def test_files_named_by_modality_alone_take_their_folders_name(tmp_path: Path) -> None:
    (case,) = find_brats_cases(touch(tmp_path, "ann/T1.nii.gz", "ann/Flair.nii.gz"))
    assert (case.name, case.modalities) == ("ann", {"t1": "ann/T1.nii.gz", "flair": "ann/Flair.nii.gz"})


def test_label_with_a_name_of_its_own_belongs_to_the_case_of_its_folder(tmp_path: Path) -> None:
    name = "BraTS20_Training_355"
    files = [*brats_files(name, "_t1 _t1ce _t2 _flair", ".nii"), f"{name}/W39_1998.09.19_Segm.nii"]
    (case,) = find_brats_cases(touch(tmp_path, *files))
    assert (case.name, case.label) == (name, files[-1])


def test_label_of_a_case_without_images_is_not_given_to_another(tmp_path: Path) -> None:
    cases = find_brats_cases(touch(tmp_path, "a_t1.nii", "b_seg.nii"))
    assert {case.name: case.label for case in cases} == {"a": None, "b": "b_seg.nii"}


def test_case_without_a_modality_or_label_is_found_all_the_same(tmp_path: Path) -> None:
    (case,) = find_brats_cases(touch(tmp_path, *brats_files("a", "_t1 _flair")))
    assert (list(case.modalities), case.label) == (["t1", "flair"], None)


def test_second_file_of_a_modality_is_kept_as_a_duplicate(tmp_path: Path) -> None:
    (case,) = find_brats_cases(touch(tmp_path, "a/a_t1.nii", "a/a_t1.nii.gz", "a/a_t2.nii"))
    assert case.modalities["t1"] == "a/a_t1.nii"
    assert case.duplicates == (("t1", "a/a_t1.nii.gz"),)


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/._a_t1.nii.gz", ".trash/b_t1.nii.gz", "a/a_t2.nii.gz", "__MACOSX/a/._a_t2.nii.gz")
    (case,) = find_brats_cases(tmp_path)
    assert case.modalities == {"t2": "a/a_t2.nii.gz"}


def test_two_folders_with_cases_of_one_name_are_refused_and_named(tmp_path: Path) -> None:
    touch(tmp_path, "HGG/a/a_t1.nii.gz", "LGG/a/a_t1.nii.gz")
    with pytest.raises(InputError, match=r"named 'a': HGG/a/a_t1\.nii\.gz and LGG/a/a_t1\.nii\.gz"):
        find_brats_cases(tmp_path)


def test_folder_of_old_and_new_labels_is_refused(tmp_path: Path) -> None:
    cases = find_brats_cases(touch(tmp_path, *brats_files("old"), *brats_files("new", NAMES_2023)))
    with pytest.raises(InputError, match=r"old is named as in BraTS 2018 .* new as in BraTS 2023"):
        scheme_of_endings(cases)


def test_unlabelled_scans_may_mix_old_and_new_names(tmp_path: Path) -> None:
    cases = find_brats_cases(touch(tmp_path, *brats_files("old", "_t1 _flair"), *brats_files("new", "-t1n -t2f")))
    assert scheme_of_endings(cases) in ("brats2018", "brats2023")


def test_grades_come_from_the_name_mapping_where_there_is_one(tmp_path: Path) -> None:
    touch(tmp_path, *brats_files("BraTS20_Training_001"), *brats_files("BraTS20_Training_002"))
    (tmp_path / "name_mapping.csv").write_text(
        "Grade,BraTS_2019_subject_ID,BraTS_2020_subject_ID\nHGG,x,BraTS20_Training_001\nLGG,NA,BraTS20_Training_002\n"
    )
    assert [case.grade for case in find_brats_cases(tmp_path)] == ["HGG", "LGG"]


def test_files_that_name_no_modality_are_passed_over(tmp_path: Path) -> None:
    assert cases_of_files([Path("BRATS_001.nii.gz"), Path("atlas.nii")], tmp_path) == []


@pytest.mark.parametrize(
    ("files", "name", "modalities", "label"),
    [
        (["images/ann_t1.nii", "labels/ann_seg.nii"], "ann", {"t1": "images/ann_t1.nii"}, "labels/ann_seg.nii"),
        (["images/ann_t1.nii", "labels/ann.nii"], "ann", {"t1": "images/ann_t1.nii"}, "labels/ann.nii"),
        (["images/ann/t1.nii", "masks/ann/mask.nii"], "ann", {"t1": "images/ann/t1.nii"}, "masks/ann/mask.nii"),
        (
            ["sub-1/anat/sub-1_T1w.nii", "derivatives/manual/sub-1/anat/sub-1_dseg.nii"],
            "sub-1",
            {"t1": "sub-1/anat/sub-1_T1w.nii"},
            "derivatives/manual/sub-1/anat/sub-1_dseg.nii",
        ),
        (
            ["derivatives/bet/sub-1/ses-2/anat/sub-1_ses-2_ce-GAD_T1w.nii"],
            "sub-1_ses-2",
            {"t1ce": "derivatives/bet/sub-1/ses-2/anat/sub-1_ses-2_ce-GAD_T1w.nii"},
            None,
        ),
        (["P1/brain_t2.nii"], "P1", {"t2": "P1/brain_t2.nii"}, None),
        (
            ["Patient-001/week-000-1/CT1.nii"],
            "Patient-001_week-000-1",
            {"t1ce": "Patient-001/week-000-1/CT1.nii"},
            None,
        ),
        (["U/U_T1.nii", "U/U_tumor_segmentation.nii"], "U", {"t1": "U/U_T1.nii"}, "U/U_tumor_segmentation.nii"),
        (
            ["T_flair.nii", "T_GlistrBoost.nii", "T_GlistrBoost_ManuallyCorrected.nii"],
            "T",
            {"flair": "T_flair.nii"},
            "T_GlistrBoost_ManuallyCorrected.nii",
        ),
        (
            ["B/B_t1.nii.gz/00000057_brain_t1.nii", "B/B_seg.nii.gz/00000057_final_seg.nii"],
            "B",
            {"t1": "B/B_t1.nii.gz/00000057_brain_t1.nii"},
            "B/B_seg.nii.gz/00000057_final_seg.nii",
        ),
    ],
)
def test_other_layouts_are_found(
    tmp_path: Path, files: list[str], name: str, modalities: dict[str, str], label: str | None
) -> None:
    (case,) = find_brats_cases(touch(tmp_path, *files))
    assert (case.name, case.modalities, case.label) == (name, modalities, label)
    assert case.duplicates == case.unclear == ()


def test_a_prediction_elsewhere_is_not_taken_for_the_label(tmp_path: Path) -> None:
    touch(tmp_path, "ann/ann_t1.nii", "out/ann/ann_seg.nii")
    with pytest.raises(InputError, match="two cases are named 'ann'"):
        find_brats_cases(tmp_path)


def test_a_name_with_two_modalities_is_no_modality_of_its_case() -> None:
    names = ["P1/T1.nii.gz", "P1/T1ce.nii.gz", "P1/FLAIR_reg_T1.nii.gz", "P1/T2_to_T1.nii.gz"]
    (case,) = cases_of_files([Path(name) for name in names], Path("/d"))
    assert case.modalities == {"t1": names[0], "t1ce": names[1]}
    assert [path for path, _ in case.unclear] == names[2:]


def test_raw_and_stripped_image_are_two_candidates_not_one_by_chance() -> None:
    (case,) = cases_of_files([Path("ann_t2.nii"), Path("ann_t2_bet.nii")], Path("/d"))
    assert case.duplicates == (("t2", "ann_t2_bet.nii"),)
