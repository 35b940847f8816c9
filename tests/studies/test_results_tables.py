"""The document says of the study on real scans what its results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.results_tables import DOCUMENT, filled, over_modalities, tables
from pkdr_monai.errors import InputError
from pkdr_monai.studies import read_study
from tests.studies.results.conftest import result, save_result, write_study


def test_the_documents_tables_are_what_the_results_say() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "<!-- study: brats2018-24 -->" in text
    assert filled(text) == text


def test_a_modality_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="unknown modality 'flare'"):
        filled("<!-- study: brats2018-24-4mm, mean of t2,flare --><!-- end -->")


def test_one_training_is_one_row_and_missing_runs_are_left_out(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", modalities=("t2",), seeds=2)
    for path in (folder / "runs").glob("table1_kdnet*"):
        path.unlink()
    text = "\n".join(tables(read_study(folder)))
    scores = text.split("Tests against")[0]
    assert scores.count("| PKDR ") == 1
    assert "complete PKDR" not in scores
    assert "KD-Net" not in text
    assert text.count("Tests against") == 3  # Unimodal and ProtoKD, on T2 alone; the plain teacher


def test_a_control_is_tested_against_pkdr_as_well(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", modalities=("t2",), seeds=2)
    for seed in range(2):
        save_result(folder, result(["controls/patch_size_8"], seed=seed))
    *_, last, _ = "\n".join(tables(read_study(folder))).split("Tests against ")
    heading, *rows = last.splitlines()
    assert heading == "PKDR, T2, mean of the regions in points:"
    tested = [row.split("|")[1].strip() for row in rows if " of 2 seeds " in row]
    assert tested == ["patches of 8"]


def test_rows_of_table_3_are_tested_against_pkdr_and_subtasks_against_the_plain_teacher(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", modalities=("t2",), seeds=2)
    for seed in range(2):
        save_result(folder, result(["table3/without_patch_kd"], seed=seed))
        save_result(folder, result(["table1/plain_teacher", "table2/baseline"], modality="all", seed=seed))
        save_result(folder, result(["table2/vae"], modality="all", seed=seed))
    parts = "\n".join(tables(read_study(folder))).split("Tests against ")[1:]
    tested = {part.splitlines()[0].split(",")[0]: part for part in parts}
    assert "| without patch distillation " in tested["PKDR"]
    assert "| VAE " in tested["Plain teacher"]
    assert "VAE" not in tested["Unimodal"]


def test_a_case_counts_once_in_the_mean_over_what_students_see(tmp_path: Path) -> None:
    """Each modality counts alike, however many seeds it has; a method without one of them is left out."""
    folder = write_study(tmp_path / "study", modalities=("t2", "flair"), seeds=2)
    for path in {*(folder / "runs").glob("*_flair_1.json"), *(folder / "runs").glob("table1_kdnet_flair*")}:
        path.unlink()
    study = read_study(folder)
    averaged = over_modalities(study, ["t2", "flair"])
    assert ("table1/kdnet", "t2,flair") not in averaged
    t2, flair = (study.scores["table1/pkdr", modality].dice for modality in ("t2", "flair"))
    assert (len(t2), len(flair)) == (2, 1)
    dice = averaged["table1/pkdr", "t2,flair"].dice
    assert dice.shape == (1, *t2.shape[1:])
    for case in range(t2.shape[1]):
        expected = ((t2[0, case] + t2[1, case]) / 2 + flair[0, case]) / 2
        assert abs(dice[0, case] - expected).max() < 1e-12
    heading = "Tests against Unimodal, T2, FLAIR, mean of the regions in points:"
    assert heading in "\n".join(tables(study, ["t2", "flair"]))
    assert heading not in "\n".join(tables(study))
