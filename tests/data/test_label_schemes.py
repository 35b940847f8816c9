"""Which scheme a cohort's labels follow: names and values together, never one alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.data import Cohort, check_cases, find_cases, make_data_list
from pkdr_monai.data.label_schemes import cohort_label_problems, label_values, with_label_scheme
from pkdr_monai.errors import InputError
from pkdr_monai.regions import whole_labels
from tests.conftest import volumes

NEW = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f", "seg": "seg"}
Save = Callable[..., None]


def cohort(folder: Path, save: Save, cases: dict[str, list[float]], old: bool = False) -> Cohort:
    """Write cases by name, each with one voxel of every value in its label, and find them."""
    for case, values in cases.items():
        images = volumes()
        label = np.zeros(images["seg"].shape, np.float32)
        label[3, 3, 1 : 1 + len(values)] = values
        for modality in ("t1", "t1ce", "t2", "flair"):
            name = f"_{modality}" if old else f"-{NEW[modality]}"
            save(folder / case / f"{case}{name}.nii.gz", images[modality])
        save(folder / case / f"{case}{'_' if old else '-'}seg.nii.gz", label)
    return find_cases(folder)


@pytest.mark.parametrize(
    ("folder", "case", "values", "expected"),
    [
        ("data", "BraTS-GLI-00000-000", [1, 2, 3], "brats2023"),
        ("data", "BraTS-GLI-02064-100", [1, 2, 3, 4], "brats2024_gli"),
        ("BraTS2024-BraTS-GLI-TrainingData", "BraTS-GLI-02064-100", [1, 2, 4], "brats2024_gli"),
        ("BraTS-GLI-2024", "BraTS-GLI-02064-100", [1, 2, 3], "brats2024_gli"),
        ("data", "BraTS-GLI-02064-100", [0.99999994, 2, 3, 3.9999998], "brats2024_gli"),
        ("data", "BraTS-GLI-02064-100", [1, 2, 4], None),  # cavity, or enhancing tumour as before 2023
        ("BraTS2023-GLI", "BraTS-GLI-00000-000", [1, 2, 3, 4], None),  # 2023 had no 4
        ("data", "BraTS-PED-00001-000", [1, 2, 3, 4], "brats2024_ped"),
        ("data", "BraTS-PED-00001-000", [1, 2, 4], "brats2024_ped"),
        ("BraTS-PEDs2024_Training", "BraTS-PED-00001-000", [1, 2, 3], "brats2024_ped"),
        ("ASNR-MICCAI-BraTS2023-PED-Challenge-TrainingData", "BraTS-PED-00001-000", [1, 2, 3], "brats2023"),
        ("data", "BraTS-PED-00001-000", [1, 2, 3], None),  # a cyst, or enhancing tumour
        ("data", "BraTS-PED-00001-000", [1], None),
        ("pediatric", "p1", [1, 2, 3], None),
        ("BraTS2023-PED", "BraTS-PED-00001-000", [1, 2, 3, 4], None),
        ("data", "case1", [1, 2, 3], "brats2023"),
        ("data", "case1", [1, 2, 3, 4], None),
        ("data", "BraTS-SSA-00002-000", [1, 2, 3], "brats2023"),
        ("data", "BraTS-MEN-00004-000", [1, 2, 3], "brats2023"),
        ("data", "BraTS-MET-00086-000", [1, 2, 3, 4], None),
        ("moped", "speedy-1", [1, 2, 3], "brats2023"),  # PED is a word, not part of one
        ("data", "case1", [1, 2, 9], "brats2023"),  # foreign to all: the check names the case
    ],
)
def test_scheme_is_told_by_names_and_values_together(
    tmp_path: Path, save_nifti: Save, folder: str, case: str, values: list[float], expected: str | None
) -> None:
    found = cohort(tmp_path / folder, save_nifti, {case: values})
    if expected is None:
        with pytest.raises(InputError, match=r"cannot be determined: they hold .* Say which with --label_scheme"):
            with_label_scheme(found)
    else:
        assert with_label_scheme(found).label_scheme == expected


@pytest.mark.parametrize("values", [[1, 2, 4], [1, 2], [4]])
def test_names_before_2023_are_enough_for_adults(tmp_path: Path, save_nifti: Save, values: list[float]) -> None:
    assert with_label_scheme(cohort(tmp_path, save_nifti, {"Brats18_1": values}, old=True)).label_scheme == "brats2018"


def test_children_under_names_before_2023_are_undecided(tmp_path: Path, save_nifti: Save) -> None:
    found = cohort(tmp_path, save_nifti, {"BraTS-PED-1": [1, 2, 4]}, old=True)
    with pytest.raises(InputError, match=r"4 is enhancing tumour; .*4 is oedema"):
        with_label_scheme(found)


def test_children_among_adults_are_undecided(tmp_path: Path, save_nifti: Save) -> None:
    found = cohort(tmp_path, save_nifti, {"BraTS-PED-1-000": [1, 2, 3], "BraTS-GLI-1-000": [1, 2, 3]})
    with pytest.raises(InputError, match="only some of its cases"):
        with_label_scheme(found)


def test_the_user_decides_and_the_data_list_names_it(tmp_path: Path, save_nifti: Save) -> None:
    names = [f"BraTS-PED-0000{number}-000" for number in range(4)]
    found = cohort(tmp_path / "data", save_nifti, {name: [1, 2, 3] for name in names})
    assert with_label_scheme(found, "brats2024_ped").label_scheme == "brats2024_ped"
    assert make_data_list(tmp_path / "data", label_scheme="brats2024_ped")["label_scheme"] == "brats2024_ped"
    with pytest.raises(InputError, match="unknown label_scheme"):
        with_label_scheme(found, "brats1999")


@pytest.mark.parametrize(
    ("labels", "scheme", "what"),
    [
        ([{1, 3}, {1}], "brats2023", "no label holds oedema, 2 in brats2023"),
        ([{1, 2, 3}], "brats2024_ped", "no label holds oedema, 4 in brats2024_ped"),
        (
            [{1}, {1}],
            "brats2018",
            "2 of 2 labels hold 1 alone, which brats2018 reads as necrotic or non-enhancing core",
        ),
        ([{1}, {1}, {1}, {1, 2, 4}], "brats2018", "3 of 4 labels hold 1 alone"),
        ([{1}], "msd", "1 of 1 labels hold 1 alone, which msd reads as oedema"),
        ([{1, 2, 4}, {1, 4}], "brats2018", None),
        ([], "brats2018", None),
    ],
)
def test_what_no_label_shows_by_itself_is_a_warning(labels: list[set[int]], scheme: str, what: str | None) -> None:
    found = list(cohort_label_problems([frozenset(label) for label in labels], scheme))
    assert [problem.severity for problem in found] == ([] if what is None else ["warning"])
    assert what is None or found[0].what.startswith(what)


def test_a_check_of_masks_alone_warns(tmp_path: Path, save_nifti: Save) -> None:
    found = cohort(tmp_path, save_nifti, {"a": [1], "b": [1]}, old=True)
    assert [p.what for p in check_cases(found.cases, tmp_path, "brats2018") if p.case == "all cases"] == [
        "2 of 2 labels hold 1 alone, which brats2018 reads as necrotic or non-enhancing core"
    ]


def test_values_leave_out_the_background() -> None:
    assert label_values(whole_labels(np.array([0, 2.0000001, 4]))) == {2, 4}
