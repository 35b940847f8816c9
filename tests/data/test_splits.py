from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pkdr_monai.data.cases import Case
from pkdr_monai.data.splits import read_split, scattered_patients, split_cases
from pkdr_monai.errors import InputError

BRATS_2018 = [Case(f"H{n}", {}, grade="HGG") for n in range(210)] + [Case(f"L{n}", {}, grade="LGG") for n in range(75)]


def sizes(sections: dict[str, list[str]]) -> list[int]:
    return [len(sections[section]) for section in ("training", "validation", "test")]


def plain(count: int) -> list[Case]:
    return [Case(f"case{number:03}", {}) for number in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_brats_2018_is_divided_as_in_the_paper_with_its_grades_even(seed: int) -> None:
    sections = split_cases(BRATS_2018, seed)
    assert sizes(sections) == [200, 28, 57]
    low_grade = [sum(name.startswith("L") for name in names) for names in sections.values()]
    assert low_grade == pytest.approx([200 * 75 / 285, 28 * 75 / 285, 57 * 75 / 285], abs=1)


def test_every_case_is_in_one_section() -> None:
    sections = split_cases(BRATS_2018)
    assert sorted(name for names in sections.values() for name in names) == sorted(case.name for case in BRATS_2018)


def test_order_of_the_folder_does_not_matter_and_the_seed_does() -> None:
    shuffled = random.Random(0).sample(BRATS_2018, len(BRATS_2018))
    assert split_cases(shuffled, 3) == split_cases(BRATS_2018, 3)
    assert split_cases(BRATS_2018, 4) != split_cases(BRATS_2018, 3)


def test_division_is_the_same_on_every_machine() -> None:
    assert split_cases(plain(6), seed=7)["validation"] == ["case004"]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (10, [7, 1, 2]), (24, [17, 2, 5])],
)
def test_small_cohorts_leave_no_section_empty_that_need_not_be(count: int, expected: list[int]) -> None:
    assert sizes(split_cases(plain(count))) == expected


def test_fraction_of_zero_leaves_its_section_empty() -> None:
    assert sizes(split_cases(plain(10), fractions=(0.8, 0.2, 0))) == [8, 2, 0]


def test_unknown_grade_of_one_case_turns_stratification_off_not_the_split() -> None:
    assert sizes(split_cases([*BRATS_2018[:9], Case("x", {})])) == [7, 1, 2]


def test_scans_of_one_patient_stay_together() -> None:
    cases = [Case(f"BraTS-GLI-{patient:05}-{scan:03}", {}) for patient in range(20) for scan in range(1 + patient % 3)]
    sections = split_cases(cases)
    patients = [{name[:-4] for name in names} for names in sections.values()]
    assert len(set().union(*patients)) == 20
    assert [len(found) for found in patients] == [14, 2, 4]


@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.7, 0.1, 0.1), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fractions_that_are_no_division_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="expected three"):
        split_cases(plain(5), fractions=fractions)


def write(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("keys", [("train", "val"), ("training", "validation")])
def test_given_division_is_read_with_short_and_long_names(tmp_path: Path, keys: tuple[str, str]) -> None:
    path = write(tmp_path, {keys[0]: ["b", "a"], keys[1]: ["c"]})
    assert read_split(path, {"a", "b", "c", "d"}) == {"training": ["a", "b"], "validation": ["c"], "test": []}


def test_excluded_cases_drop_out_of_a_given_division(tmp_path: Path) -> None:
    path = write(tmp_path, {"train": ["a", "b"], "val": ["c"]})
    assert read_split(path, {"a", "c"}, ["b"])["training"] == ["a"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"train": ["a", "x", "y"], "val": ["b"]}, "names x, y, which the data set does not hold"),
        ({"train": ["a"], "val": ["a"]}, "names a more than once"),
        ({"train": ["a", "a"]}, "names a more than once"),
        ({"train": ["a"], "vall": ["b"]}, "nothing else"),
        ({"train": [1, 2]}, 'expected {"train"'),
        ({"train": "a"}, 'expected {"train"'),
        (["a"], 'expected {"train"'),
    ],
)
def test_division_that_does_not_fit_is_refused(tmp_path: Path, content: object, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read_split(write(tmp_path, content), {"a", "b"})


@pytest.mark.parametrize(
    "pattern",
    [
        ("sub-{:02}_ses-1", "sub-{:02}_ses-2"),
        ("UPENN-GBM-{:05}_11", "UPENN-GBM-{:05}_21"),
        ("UCSF-PDGM-{:04}", "UCSF-PDGM-{:04}_FU001d"),
        ("Patient-{:03}_week-000", "Patient-{:03}_week-012"),
        ("BraTS-MEN-RT-{:04}-1", "BraTS-MEN-RT-{:04}-2"),
    ],
)
def test_no_patient_of_a_known_data_set_is_in_two_parts(pattern: tuple[str, str]) -> None:
    sections = split_cases([Case(form.format(number), {}) for number in range(20) for form in pattern])
    assert scattered_patients(sections) == []
    assert sizes(sections) == [28, 4, 8]


def test_a_table_of_patients_decides(caplog: pytest.LogCaptureFixture) -> None:
    patients = {f"K{number:02}{end}": f"P{number % 5}" for number in range(10) for end in "xy"}
    sections = split_cases([Case(name, {}) for name in patients], patients=patients)
    assert scattered_patients(sections, patients) == []
    assert caplog.text == ""


def test_names_that_look_shared_are_a_warning_with_examples(caplog: pytest.LogCaptureFixture) -> None:
    split_cases([Case(f"K{number:02}_{end}", {}) for number in range(5) for end in "xy"])
    assert "5 groups of cases look like scans of one patient each (K00_x, K00_y; K01_x" in caplog.text
    assert "--patients FILE" in caplog.text


def test_ordinary_names_are_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    split_cases(BRATS_2018)
    split_cases(plain(30))
    assert caplog.text == ""
