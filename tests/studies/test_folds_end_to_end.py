"""Folds from the command line to the table: every case is tested once, and the test cases are pooled."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.cli import main
from pkdr_monai.files import read_json
from pkdr_monai.phantom import write_cohort
from pkdr_monai.studies import read_study
from tests.studies.conftest import ROOT


@pytest.mark.slow
def test_folds_of_a_folder_are_run_and_pooled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = tmp_path / "cohort"
    write_cohort(cohort, cases=6, shape=(40, 40, 32), spacing=(6.0, 6.0, 6.0), seed=1)
    monkeypatch.chdir(ROOT)
    places = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work"), "--name", "folds"]
    words = ["--cohort", str(cohort), "--smoke", "--modalities", "t2", "--folds", "3", "--validation", "1"]
    main(["experiment", "table1/unimodal", *words, *places])
    study = read_study(tmp_path / "results" / "folds")
    scores = study.scores["table1/unimodal", "t2"]
    assert len(study.results) == 3
    assert len(scores.cases) == 6
    assert sorted(set(scores.folds)) == [0, 1, 2]
    tested = [set(read_json(result.path)["cases"]) for result in study.results]
    assert set.union(*tested) == set(scores.cases)
    assert sum(map(len, tested)) == 6
    assert "Unimodal" in capsys.readouterr().out
