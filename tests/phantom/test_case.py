from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.case import PhantomCase, make_case
from pkdr_monai.phantom.signal import TISSUES

SIZES = {"2 mm": ((120, 120, 78), (2.0, 2.0, 2.0)), "3 mm": ((80, 80, 52), (3.0, 3.0, 3.0))}
HIGH_GRADE = pytest.mark.parametrize("seed", [1, 2, 3, 4])


@cache
def case(seed: int, size: str = "3 mm") -> PhantomCase:
    """Return a high-grade case."""
    return make_case(seed, *SIZES[size], grade="HGG")


@cache
def medians(seed: int, modality: str) -> dict[str, float]:
    """Return the median intensity of each tissue, relative to white matter, at 2 mm."""
    patient = case(seed, "2 mm")
    image = patient.images[modality]
    values = {}
    for number, name in enumerate(TISSUES, start=1):
        where = patient.tissue == number
        pure = ndimage.binary_erosion(where)  # away from other tissue, where the structure is thick enough
        values[name] = image[pure if pure.sum() > 50 else where]
    white = np.median(values["white"])
    return {name: float(np.median(found) / white) for name, found in values.items() if len(found) > 50}


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """Return the probability that a voxel of ``first`` is brighter than one of ``second``."""
    return float(np.mean(np.searchsorted(np.sort(second), first)) / len(second))


def rim_against_rest_of_tumour(modality: str) -> list[float]:
    """Return for several patients how well a modality separates enhancing tumour from the rest; 0.5 is not at all."""
    areas = []
    for seed in range(1, 11):
        image, label = case(seed).images[modality], case(seed).label
        areas.append(auc(image[label == 4], image[(label == 1) | (label == 2)]))
    return areas


@HIGH_GRADE
def test_t1_shows_white_matter_over_grey_matter_over_csf(seed):
    median = medians(seed, "t1")
    assert median["white"] > median["grey"] > median["csf"]


@HIGH_GRADE
def test_t2_shows_csf_over_grey_matter_over_white_matter_and_oedema_over_both(seed):
    median = medians(seed, "t2")
    assert median["csf"] > median["grey"] > median["white"]
    assert median["oedema"] > max(median["grey"], median["white"])


@HIGH_GRADE
def test_flair_shows_csf_darkest_and_oedema_over_all_healthy_tissue(seed):
    median = medians(seed, "flair")
    assert median["csf"] == min(value for name, value in median.items() if name != "blood")  # flowing blood is void
    assert median["oedema"] > 1.2 * max(median[name] for name in ("white", "grey", "deep"))


def test_t1ce_shows_the_rim_over_all_but_vessels_and_choroid_plexus():
    patients = [medians(seed, "t1ce") for seed in (1, 2, 3, 4)]  # in one of many, as in life, the rim takes up little
    median = {name: np.median([patient[name] for patient in patients]) for name in patients[0]}
    others = [value for name, value in median.items() if name not in ("enhancing", "blood", "choroid")]
    assert median["enhancing"] > 1.1 * max(others)


@HIGH_GRADE
def test_some_vessels_are_as_bright_as_the_rim_in_t1ce(seed):
    patient = case(seed, "2 mm")
    image, tissues = patient.images["t1ce"], list(TISSUES)
    vessels = image[patient.tissue == 1 + tissues.index("blood")]
    assert np.quantile(vessels, 0.95) > np.median(image[patient.label == 4])


def test_enhancing_tumour_stands_out_in_t1ce_alone():
    assert np.median(rim_against_rest_of_tumour("t1ce")) > 0.8
    for modality in ("t1", "t2", "flair"):
        assert 0.3 < np.median(rim_against_rest_of_tumour(modality)) < 0.72


def test_the_whole_tumour_shows_in_flair_best_then_t2_and_not_in_t1():
    areas = {}
    for modality in MODALITIES:
        found = []
        for seed in range(1, 11):
            image, label = case(seed).images[modality], case(seed).label
            found.append(auc(image[label > 0], image[(label == 0) & (image > 0)]))
        areas[modality] = np.median(found)
    assert areas["flair"] > 0.93
    assert 0.75 < areas["t2"] < areas["flair"]
    assert max(abs(areas["t1"] - 0.5), abs(areas["t1ce"] - 0.5)) < 0.2


def test_the_same_arguments_give_the_same_bytes():
    first, second = (make_case(11, (48, 48, 40), (4.0, 4.0, 4.0)) for _ in range(2))
    for modality in MODALITIES:
        assert first.images[modality].tobytes() == second.images[modality].tobytes()
    assert first.label.tobytes() == second.label.tobytes()


def test_seeds_name_patients():
    labels = [make_case(seed, (32, 32, 32)).label for seed in (0, 1)]
    assert (labels[0] != labels[1]).any()


@HIGH_GRADE
def test_a_patient_is_the_same_at_every_voxel_size(seed):
    fine, coarse = case(seed, "2 mm"), case(seed, "3 mm")
    for members in [(1,), (2,), (4,), (1, 2, 4)]:
        volume = {8: np.isin(fine.label, members).sum() * 8, 27: np.isin(coarse.label, members).sum() * 27}
        assert volume[27] == pytest.approx(volume[8], rel=0.12, abs=1000)
    centres = [np.argwhere(patient.label > 0).mean(axis=0) * size for patient, size in ((fine, 2), (coarse, 3))]
    np.testing.assert_allclose(centres[0], centres[1], atol=3.0)


@pytest.mark.parametrize("seed", range(1, 11))
def test_images_are_whole_numbers_with_zero_outside_the_brain_only(seed):
    patient = case(seed)
    brain = patient.tissue > 0
    for image in patient.images.values():
        assert image.dtype == np.int16
        assert (image[brain] >= 1).all()
        assert not image[~brain].any()
    assert patient.label.dtype == np.uint8
    assert not patient.label[~brain].any()
    assert set(np.unique(patient.label)) <= {0, 1, 2, 4}
    assert patient.has_et == bool((patient.label == 4).any())


def test_the_brain_touches_no_side_of_the_image_but_the_lowest():
    for seed in range(1, 11):
        brain = case(seed).tissue > 0
        assert not brain[[0, -1]].any()
        assert not brain[:, [0, -1]].any()
        assert not brain[:, :, -1].any()


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [
        ((32, 32, 32), (1.0, 1.0, 1.0)),
        ((33, 47, 38), (5.0, 4.0, 4.5)),
        ((96, 40, 36), (2.0, 5.0, 4.0)),
        ((64, 64, 64), (1.5, 1.5, 1.5)),
        ((40, 40, 120), (9.0, 9.0, 9.0)),
    ],
)
def test_any_shape_holds_a_whole_head_with_a_tumour(shape, spacing):
    patient = make_case(3, shape, spacing, grade="HGG")
    assert all(image.shape == shape for image in (*patient.images.values(), patient.label, patient.tissue))
    brain = patient.tissue > 0
    assert brain.mean() > 0.002
    assert not brain[[0, -1]].any()
    assert not brain[:, [0, -1]].any()
    assert not brain[:, :, -1].any()
    assert {1, 2, 4} <= set(np.unique(patient.label))


def test_the_affine_is_brats_2018s():
    expected = [[-2, 0, 0, 0], [0, -2, 0, 238], [0, 0, 2, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(case(1, "2 mm").affine, expected)


def test_the_grade_can_be_chosen():
    for grade in ("HGG", "LGG"):
        assert make_case(0, (32, 32, 32), grade=grade).grade == grade


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed of 0 or more"),
        ({"seed": 0, "grade": "IV"}, "'IV'"),
        ({"seed": 0, "shape": (31, 64, 64)}, "32 voxels or more"),
        ({"seed": 0, "shape": (64, 64)}, "3 sides"),
        ({"seed": 0, "spacing": (1.0, 0.0, 1.0)}, "3 lengths above 0"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        make_case(**arguments)
