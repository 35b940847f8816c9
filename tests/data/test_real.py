"""The finders and the checks on real scans, where the environment variable PKDR_REAL_DATA names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.data import check_cases, find_cases, make_data_list

pytestmark = pytest.mark.real


@pytest.mark.slow
def test_oddities_of_24_brats_2018_cases_are_warnings_and_nothing_is_an_error(real_data: Path) -> None:
    cohort = find_cases(real_data / "brats2018")
    assert len(cohort.cases) == 24
    assert sorted(case.grade or "" for case in cohort.cases) == ["HGG"] * 22 + ["LGG"] * 2
    problems = check_cases(cohort.cases, cohort.folder, cohort.label_scheme)
    assert {problem.severity for problem in problems} == {"warning"}
    assert {(problem.case, problem.what[:28]) for problem in problems} == {
        ("Brats18_2013_11_1", "enhancing tumour is no brigh"),
        ("Brats18_2013_20_1", "flair has a smaller field of"),
        ("Brats18_CBICA_AVG_1", "flair looks like t1ce: uneve"),  # the one that is doubted in vain
        ("Brats18_TCIA10_639_1", "enhancing tumour is very sma"),
        ("Brats18_TCIA13_623_1", "enhancing tumour is no brigh"),  # by 0.05 standard deviations
    }


@pytest.mark.parametrize(("folder", "label_scheme"), [("brats2023", "brats2023"), ("msd/Task01_BrainTumour", "msd")])
def test_case_of_brats_2023_and_of_the_decathlon_is_found_and_sound(
    real_data: Path, folder: str, label_scheme: str
) -> None:
    cohort = find_cases(real_data / folder)
    assert (len(cohort.cases), cohort.label_scheme) == (1, label_scheme)
    assert check_cases(cohort.cases, cohort.folder, cohort.label_scheme) == []


@pytest.mark.slow
def test_given_split_of_the_real_cases_is_listed(real_data: Path) -> None:
    data_list = make_data_list(real_data / "brats2018", split=real_data / "brats2018_split.json")
    assert [len(data_list[section]) for section in ("training", "validation", "test")] == [20, 4, 0]
