"""The document says of the study on real scans what its results say."""

from __future__ import annotations

from pathlib import Path

from experiments.results_tables import DOCUMENT, filled, tables
from pkdr_monai.studies import read_study
from tests.studies.results.conftest import result, save_result, write_study


def test_the_documents_tables_are_what_the_results_say() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "<!-- study: brats2018-24 -->" in text
    assert filled(text) == text


def test_one_training_is_one_row_and_missing_runs_are_left_out(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", modalities=("t2",), seeds=2)
    for path in (folder / "runs").glob("table1_kdnet*"):
        path.unlink()
    text = "\n".join(tables(read_study(folder)))
    scores = text.split("Tests against")[0]
    assert scores.count("| PKDR ") == 1
    assert "complete PKDR" not in scores
    assert "KD-Net" not in text
    assert text.count("Tests against") == 2  # Unimodal and ProtoKD, on T2 alone


def test_a_control_is_tested_against_pkdr_as_well(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", modalities=("t2",), seeds=2)
    for seed in range(2):
        save_result(folder, result(["controls/patch_size_8"], seed=seed))
    *_, last = "\n".join(tables(read_study(folder))).split("Tests against ")
    heading, *rows = last.splitlines()
    assert heading == "PKDR, T2, mean of the regions in points:"
    tested = [row.split("|")[1].strip() for row in rows if " of 2 seeds " in row]
    assert tested == ["patches of 8"]
