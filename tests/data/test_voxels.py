from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pkdr_monai.data.cases import Case
from pkdr_monai.data.problems import Problem
from pkdr_monai.data.voxels import image_problems, joint_problems, label_problems
from pkdr_monai.regions import LABEL_SCHEMES

CASE = Case("a", {name: f"a_{name}.nii" for name in ("t1", "t1ce", "t2", "flair")}, "a_seg.nii")
SCHEME = {"ncr": 1, "ed": 2, "et": 4}
VOXEL = 512.0  # mm³
AFFINE = np.diag([8.0, 8.0, 8.0, 1.0])


def head() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return four modalities, 0 in a margin, and a label whose ET only T1ce shows."""
    label = np.zeros((10, 10, 10), np.uint8)
    label[3:7, 3:7, 3:7] = 2
    label[4:6, 4:6, 4:6] = 4
    images = {}
    for number, name in enumerate(CASE.modalities):
        images[name] = np.zeros((10, 10, 10), np.int16)
        images[name][1:9, 1:9, 1:9] = np.random.default_rng(number).integers(80, 120, (8, 8, 8))
    images["t1ce"][label == 4] = 200
    return images, label


def joint(images: dict[str, np.ndarray], label: np.ndarray | None) -> list[Problem]:
    return list(joint_problems(CASE, images, label, SCHEME["et"], VOXEL))


def test_sound_case_has_no_problem() -> None:
    images, label = head()
    assert not [problem for name in images for problem in image_problems(CASE, name, images[name], AFFINE)]
    assert not list(label_problems(CASE, label, SCHEME))
    assert not joint(images, label)
    assert not joint(images, None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_no_number_is_counted(value: float) -> None:
    image = np.ones((4, 4, 4), np.float32)
    image[0, 0, :2] = value
    (problem,) = image_problems(CASE, "t1", image, AFFINE)
    assert (problem.where, problem.severity) == ("a_t1.nii", "error")
    assert "NaN or infinity in 2 of 64 voxels" in problem.what


def test_modality_of_zeros_is_an_error() -> None:
    (problem,) = image_problems(CASE, "t2", np.zeros((4, 4, 4)), AFFINE)
    assert (problem.what, problem.severity) == ("t2 is 0 everywhere", "error")


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (255, "255")])
def test_label_value_outside_the_scheme_is_named(value: float, shown: str) -> None:
    label = head()[1].astype(np.float32)
    label[4, 4, 4] = value
    (problem,) = label_problems(CASE, label, SCHEME)
    assert problem.what == f"the label holds {shown}; expected 0, 1, 2, 4"
    assert problem.severity == "error"


@pytest.mark.parametrize("value", [1.5, 3.99, np.nan, np.inf, -1, 300])
def test_label_value_that_is_no_whole_number_from_0_to_255_is_named(value: float) -> None:
    label = head()[1].astype(np.float32)
    label[4, 4, 4] = value
    (problem,) = label_problems(CASE, label, SCHEME)
    assert f"{value:g}" in problem.what
    assert ("(interpolated?)" in problem.what) == (value not in (-1, 300))


@pytest.mark.parametrize("factor", [0.99999994, 1.0002])
def test_label_that_a_program_stored_as_float_is_sound(factor: float) -> None:
    assert not list(label_problems(CASE, head()[1].astype(np.float32) * np.float32(factor), SCHEME))


@pytest.mark.parametrize(
    ("values", "scheme", "what", "fix"),
    [
        ([0, 255], "brats2018", "a mask of 0 and 255", "take the label map of the data set"),
        ([0, 100], "brats2023", "a mask of 0 and 100", "take the label map of the data set"),
        ([0, 1, 2, 4], "brats2023", "holds 4; expected 0, 1, 2, 3", "4 is resection cavity in brats2024_gli"),
        ([0, 1, 2, 4], "brats2023", "holds 4; expected 0, 1, 2, 3", "4 is enhancing tumour in brats2018"),
        ([0, 1, 2, 3, 4], "brats2023", "holds 4; expected 0, 1, 2, 3", "4 is oedema in brats2024_ped"),
        ([0, 1, 2, 3], "brats2018", "holds 3; expected 0, 1, 2, 4", "3 is cyst in brats2024_ped"),
        ([0, 1, 9], "brats2018", "holds 9; expected 0, 1, 2, 4", "no known scheme"),
    ],
)
def test_foreign_labels_are_explained_by_the_schemes_that_have_them(
    values: list[int], scheme: str, what: str, fix: str
) -> None:
    (problem,) = label_problems(CASE, np.array(values), LABEL_SCHEMES[scheme])
    assert what in problem.what
    assert fix in problem.fix


def test_empty_label_is_an_error() -> None:
    (problem,) = label_problems(CASE, np.zeros((4, 4, 4)), SCHEME)
    assert (problem.where, problem.severity) == ("a_seg.nii", "error")
    assert "empty" in problem.what


def test_label_outside_of_the_brain_is_an_error() -> None:
    images, label = head()
    label[0, :5, :5] = 2
    (problem,) = joint(images, label)
    assert (problem.where, problem.severity) == ("a_seg.nii", "error")
    assert problem.what.startswith("25 of 89 labelled voxels lie outside the brain")


def test_label_may_leave_the_brain_by_less_than_a_hundredth() -> None:
    images, label = head()
    label[1:9, 1:9, 1:9][label[1:9, 1:9, 1:9] == 0] = 2
    label[0, 0, :5] = 2  # 5 of 517
    assert not joint(images, label)


def test_modality_with_a_smaller_field_of_view_is_a_warning_that_names_it() -> None:
    images, label = head()
    images["flair"][:, :, 7:] = 0
    (problem,) = joint(images, label)
    assert (problem.where, problem.severity) == ("a_flair.nii", "warning")
    assert "flair has a smaller field of view: it shows 75% of the brain" in problem.what
    assert "is 0 on 0 of 64 labelled voxels" in problem.what


def test_modality_that_is_zero_on_the_tumour_is_a_warning_though_its_view_is_wide() -> None:
    images, label = head()
    images["t2"][label == 4] = 0
    (problem,) = joint(images, label)
    assert (problem.where, problem.severity) == ("a_t2.nii", "warning")
    assert "is 0 on 8 of 64 labelled voxels" in problem.what


def test_modality_that_covers_nearly_all_of_the_brain_is_no_problem() -> None:
    images, label = head()
    images["flair"][:, 1, :4] = 0
    assert not joint(images, label)


def test_enhancing_tumour_that_contrast_does_not_brighten_is_a_warning() -> None:
    images, label = head()
    images["t1"], images["t1ce"] = images["t1ce"], images["t1"]
    (problem,) = joint(images, label)
    assert (problem.where, problem.severity) == ("a_t1ce.nii", "warning")
    assert "enhancing tumour is no brighter in t1ce" in problem.what


def test_brightness_does_not_depend_on_the_scale_of_a_modality() -> None:
    images, label = head()
    images["t1"] = images["t1"] * np.int16(50)
    assert not joint(images, label)


def test_enhancing_tumour_below_a_millilitre_is_a_warning() -> None:
    images, label = head()
    (problem,) = joint_problems(CASE, images, label, SCHEME["et"], voxel_volume=1.0)
    assert problem.what == "enhancing tumour is very small: 8 mm³"
    assert problem.severity == "warning"


def test_tumour_without_enhancement_is_no_problem() -> None:
    images, label = head()
    label[label == 4] = 1
    assert not joint(images, label)


def test_one_modality_alone_can_be_checked() -> None:
    images, label = head()
    assert not joint({"t2": images["t2"]}, label)


def test_head_without_healthy_brain_does_not_divide_by_zero() -> None:
    images, label = head()
    for image in images.values():
        image[label == 0] = 0
    assert not joint(images, label)


@pytest.mark.parametrize(("label", "problems"), [("healthy/a/a_seg.nii.gz", 0), ("HGG/a/a_seg.nii.gz", 1)])
def test_a_label_may_be_empty_below_a_folder_of_healthy_heads_alone(label: str, problems: int) -> None:
    case = replace(CASE, label=label)
    assert len(list(label_problems(case, np.zeros((4, 4, 4), np.uint8), SCHEME))) == problems
