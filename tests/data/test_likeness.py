"""A wrong modality is noticed by the order of intensities, and what cannot be measured is not said."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from experiments.modality_likeness import RESULT, assignments, measured, swaps
from pkdr_monai.data import check_cases, find_cases, likeness
from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.case import PhantomCase, make_case

SHAPE, SPACING = (64, 72, 56), (3.0, 3.0, 3.0)
AFFINE = np.diag([*SPACING, 1.0])
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def patients() -> list[PhantomCase]:
    """Return patients that the fit has not seen."""
    return [make_case(8_000 + seed, SHAPE, SPACING) for seed in range(4)]


def test_wrong_modalities_of_synthetic_patients_are_noticed_and_right_ones_are_not(patients: list[PhantomCase]) -> None:
    features = [measured(patient.images, AFFINE) for patient in patients]
    rows = list(assignments(features))
    assert [row for row in rows if row[0] == row[1] and row[2]] == []
    wrong = [row for row in rows if row[0] != row[1]]
    assert len(wrong) == 12
    assert sum(int(str(row[2])) for row in wrong) >= 0.85 * sum(int(str(row[3])) for row in wrong)


def test_swapped_images_are_said_together_with_a_figure(patients: list[PhantomCase]) -> None:
    features = measured(patients[0].images, AFFINE)
    assert list(likeness.doubtful_modalities(features)) == []
    (doubt,) = likeness.doubtful_modalities({**features, "t2": features["flair"], "flair": features["t2"]})
    assert set(doubt.modalities) == {"t2", "flair"}
    assert re.search(r"look swapped: .* interquartile ranges (above|below) its median \(usual: \w+ [+-]", doubt.what)


def test_neither_scale_nor_a_tumour_of_another_size_changes_what_an_image_looks_like(
    patients: list[PhantomCase],
) -> None:
    image = patients[0].images["t2"]
    features = likeness.image_features(image, AFFINE)
    assert features is not None
    scaled = likeness.image_features(image.astype(np.float64) * 1e-3, AFFINE)
    np.testing.assert_allclose(scaled, features, rtol=1e-3, atol=1e-3)
    without = np.where(patients[0].label > 0, np.median(image[image > 0]), image)
    odds = likeness.log_odds(np.asarray(likeness.image_features(without, AFFINE)))
    assert max(odds, key=lambda name: odds[name]) == "t2"


@pytest.mark.parametrize("value", [0, 7])
def test_what_is_empty_or_even_is_not_judged(value: int) -> None:
    image = np.zeros((60, 60, 60))
    image[10:-10, 10:-10, 10:-10] = value
    assert likeness.image_features(image, AFFINE) is None
    assert likeness.image_features(np.zeros((4, 4, 4)) + value, AFFINE) is None
    assert list(likeness.doubtful_modalities({"t1": None})) == []


@pytest.mark.parametrize(
    ("millilitres", "side"), [(600, "smaller"), (1000, ""), (1400, ""), (1780, ""), (1900, "larger")]
)
def test_brain_outside_of_what_was_trained_on_is_said(millilitres: int, side: str) -> None:
    image = np.zeros(2_000_000)
    image[: millilitres * 1000] = 1
    said = likeness.doubtful_size(image.reshape(200, 100, 100), np.eye(4))
    assert bool(said) == bool(side)
    if side:
        assert f"a brain of {millilitres:,} mL, {side} than those of 1,068 to 1,722 mL" in said


def test_recorded_figures_reach_the_goal_on_real_cases_that_the_fit_has_not_seen() -> None:
    rows = list(csv.DictReader(RESULT.read_text(encoding="utf-8").splitlines()))
    single = [row for row in rows if row["patients"] == "real" and row["part"] == "held out" and "+" not in row["is"]]
    right = [row for row in single if row["given as"] == row["is"] != "all"]
    wrong = [row for row in single if row["given as"] != row["is"]]
    assert (len(right), len(wrong)) == (4, 12)
    assert _share(wrong) > 0.9
    assert _share(right) < 0.05


def test_documented_table_is_that_of_the_recorded_figures() -> None:
    rows = list(csv.DictReader(RESULT.read_text(encoding="utf-8").splitlines()))
    text = (ROOT / "docs" / "predict.md").read_text(encoding="utf-8")
    for given in MODALITIES:
        cells = []
        for true in MODALITIES:
            found = [row for row in rows if row["patients"] == "real" and (row["given as"], row["is"]) == (given, true)]
            cells += ["{noticed} of {of}".format(**row) for row in found if row["part"] == "held out"]
        assert f"| given as {given} | {' | '.join(cells)} |" in text


def _share(rows: list[dict[str, str]]) -> float:
    return sum(int(row["noticed"]) for row in rows) / sum(int(row["of"]) for row in rows)


@pytest.mark.real
@pytest.mark.slow
def test_real_cases_that_the_fit_has_not_seen(real_data: Path) -> None:
    folder = real_data / "brats2018"
    patients = []
    for case in find_cases(folder).cases[1::2]:
        files = {modality: folder / path for modality, path in case.modalities.items()}
        affine = read_header(files["t1"]).affine
        patients.append(measured({modality: read_voxels(path) for modality, path in files.items()}, affine))
    rows = list(csv.reader(RESULT.read_text(encoding="utf-8").splitlines()))
    recorded = [row[2:] for row in rows if row[:2] == ["real", "held out"]]
    found = [[str(cell) for cell in row] for row in (*assignments(patients), *swaps(patients))]
    assert found == recorded


def test_check_warns_and_strict_refuses(tmp_path: Path, patients: list[PhantomCase]) -> None:
    import nibabel as nib

    for name in ("t2", "flair"):
        other = "flair" if name == "t2" else "t2"
        nib.save(nib.Nifti1Image(patients[0].images[other], patients[0].affine), tmp_path / f"ann_{name}.nii.gz")
    cohort = find_cases(tmp_path)
    for strict, severity in ((False, "warning"), (True, "error")):
        problems = check_cases(
            cohort.cases, tmp_path, "brats2018", ["t2", "flair"], need_label=False, strict=strict, whole_cohort=False
        )
        assert [(problem.severity, problem.what[:27]) for problem in problems] == [
            (severity, "t2 and flair look swapped: ")
        ]
