from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.data import find_cases
from pkdr_monai.data.fingerprint import CaseVolumes, fingerprint
from pkdr_monai.errors import InputError
from tests.conftest import save, volumes


def _measured(folder: Path) -> dict:
    cohort = find_cases(folder)
    return fingerprint(cohort.cases, folder, cohort.label_scheme)


def test_case_is_described_by_grid_intensities_and_volumes(write_case: Callable[..., Path]) -> None:
    (entry,) = _measured(write_case("HGG/a"))["cases"]
    assert (entry["case"], entry["grade"]) == ("a", "HGG")
    assert (entry["shape"], entry["spacing_mm"], entry["orientation"]) == ([8, 9, 7], [12.0, 12.0, 12.0], "RAS")
    shown = volumes()["t2"]
    shown = shown[shown != 0]
    assert entry["intensities"]["t2"]["median"] == np.median(shown)
    assert entry["intensities"]["t2"]["p99"] == pytest.approx(np.percentile(shown, 99))
    assert entry["intensities"]["t2"]["part_not_0"] == pytest.approx(shown.size / (8 * 9 * 7), abs=1e-4)
    assert entry["volumes_ml"] == {"tc": 20.736, "wt": 82.944, "et": 19.008}  # 12, 48 and 11 voxels of 1.728 ml


def test_every_label_scheme_gives_the_same_volumes(
    write_case: Callable[..., Path], write_task01: Callable[..., Path]
) -> None:
    names = {"t1": "a-t1n.nii", "t1ce": "a-t1c.nii", "t2": "a-t2w.nii", "flair": "a-t2f.nii", "seg": "a-seg.nii"}
    brats, task = (_measured(folder)["cases"][0] for folder in (write_case("a", names, et=3), write_task01("a")))
    assert brats["volumes_ml"] == task["volumes_ml"] == {"tc": 20.736, "wt": 82.944, "et": 19.008}
    assert brats["intensities"] == task["intensities"]


def test_summary_counts_what_should_be_alike(write_case: Callable[..., Path]) -> None:
    folder = [write_case(name) for name in ("a", "b", "c")].pop()
    for modality, image in volumes().items():
        save(folder / "c" / f"c_{modality}.nii.gz", image[1:], np.diag([1.0, 2, 3, 1]))
    summary = _measured(folder)["summary"]
    assert summary["shapes"] == {"8x9x7": 2, "7x9x7": 1}
    assert summary["spacings_mm"] == {"12x12x12": 2, "1x2x3": 1}
    assert summary["volumes_ml"]["wt"] == [0.288, 82.944, 82.944]
    assert summary["without_region"] == {"tc": 0, "wt": 0, "et": 0}


def test_scans_without_a_label_have_no_volumes(write_case: Callable[..., Path]) -> None:
    measured = _measured(write_case("a", {"t2": "a_t2.nii"}))
    assert "volumes_ml" not in measured["cases"][0]
    assert measured["summary"]["volumes_ml"] == {}
    assert measured["summary"]["labelled"] == 0


def test_result_is_plain_data_and_says_nothing_of_the_machine(dataset: Path) -> None:
    text = json.dumps(_measured(dataset))
    assert str(dataset.parent) not in text


def test_onlooker_sees_every_case_once(dataset: Path) -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []

    def look(case, case_volumes: CaseVolumes) -> None:
        seen.append((case.name, case_volumes.images["t1"].shape))

    cohort = find_cases(dataset)
    fingerprint(cohort.cases, dataset, cohort.label_scheme, look=look)
    assert seen == [("001", (8, 9, 7)), ("1e5", (8, 9, 7)), ("c", (8, 9, 7))]


def test_broken_file_is_one_sentence(dataset: Path) -> None:
    (dataset / "001/001_t1.nii.gz").write_bytes(b"")
    with pytest.raises(InputError, match=r"case 001 cannot be read: the file is empty; copy or download it again\."):
        _measured(dataset)
