from __future__ import annotations

import random

import pytest

from pkdr_monai.data.cases import Case
from pkdr_monai.data.splits import split_folds
from pkdr_monai.errors import InputError

FEW = [Case(f"H{n}", {}, grade="HGG") for n in range(22)] + [Case(f"L{n}", {}, grade="LGG") for n in range(2)]
MANY = [Case(f"H{n}", {}, grade="HGG") for n in range(210)] + [Case(f"L{n}", {}, grade="LGG") for n in range(75)]


def plain(count: int) -> list[Case]:
    return [Case(f"case{number:03}", {}) for number in range(count)]


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_every_case_is_tested_once_and_is_in_one_section_of_each_fold(folds: int) -> None:
    divided = split_folds(FEW, folds)
    names = sorted(case.name for case in FEW)
    assert sorted(name for fold in divided for name in fold["test"]) == names
    assert all(sorted(name for section in fold.values() for name in section) == names for fold in divided)


@pytest.mark.parametrize("seed", range(5))
def test_grades_are_spread_over_the_test_and_validation_cases_of_the_folds(seed: int) -> None:
    for fold in split_folds(MANY, 3, seed):
        for section, total in (("test", 95), ("validation", 48), ("training", 142)):
            assert len(fold[section]) == pytest.approx(total, abs=1)
            low = sum(name.startswith("L") for name in fold[section])
            assert low == pytest.approx(total * 75 / 285, abs=1.5)


@pytest.mark.parametrize("seed", range(5))
def test_two_low_grade_cases_are_tested_in_two_folds(seed: int) -> None:
    low = [sum(name.startswith("L") for name in fold["test"]) for fold in split_folds(FEW, 3, seed)]
    assert sorted(low) == [0, 1, 1]


def test_number_of_validation_patients_is_that_asked_for() -> None:
    assert [[len(names) for names in fold.values()] for fold in split_folds(FEW, 3, validation=2)] == [[14, 2, 8]] * 3


def test_order_of_the_cases_does_not_matter_and_the_seed_does() -> None:
    shuffled = random.Random(0).sample(FEW, len(FEW))
    assert split_folds(shuffled, 3, 1) == split_folds(FEW, 3, 1)
    assert split_folds(FEW, 3, 2) != split_folds(FEW, 3, 1)


def test_scans_of_one_patient_stay_together() -> None:
    cases = [Case(f"BraTS-GLI-{patient:05}-{scan:03}", {}) for patient in range(20) for scan in range(1 + patient % 3)]
    for fold in split_folds(cases, 3):
        patients = [{name[:-4] for name in names} for names in fold.values()]
        assert sum(map(len, patients)) == len(set().union(*patients)) == 20


@pytest.mark.parametrize(
    ("cases", "folds", "validation", "complaint"),
    [
        (10, 1, None, "expected 2 folds or more"),
        (2, 3, None, "no more than the 2 patients, got 3"),
        (6, 3, 4, "expected from 1 to 3 validation patients"),
        (6, 3, 0, "got 0"),
    ],
)
def test_folds_that_leave_nothing_to_train_on_are_refused(
    cases: int, folds: int, validation: int | None, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        split_folds(plain(cases), folds, validation=validation)
