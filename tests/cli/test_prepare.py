"""The command line of preparing a DICOM study: one sentence and exit code 2, or a folder for pkdr predict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.cli import main
from tests.conftest import exit_code
from tests.prepare.conftest import HEADERS, direct, hd_bet, patient, study, write_series  # noqa: F401
from tests.prepare.conftest import head as dicom_head

head = dicom_head


def test_a_study_is_prepared_and_every_series_is_told(
    study: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["prepare", str(study), "-o", str(tmp_path), "--flair", "5"])
    output = capsys.readouterr().out
    assert "'AX FLAIR': flair: TI 2500 ms with TE 120 ms" in output
    assert "localiser" in output
    assert "not a medical device" in output
    assert len(list(tmp_path.rglob("*_flair.nii.gz"))) == 1


def test_bad_input_is_one_sentence_and_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("prepare", tmp_path / "absent", "-o", tmp_path / "out") == 2
    assert capsys.readouterr().err == "error: there is no such input: check the path.\n"


def test_without_the_extra_a_sentence_says_what_to_install(
    study: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    without = "import sys; sys.modules['pydicom'] = None; from pkdr_monai.cli import main"
    code = f"{without}; main(['prepare', {str(study)!r}, '-o', {str(tmp_path)!r}])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "pip install 'pkdr-monai[dicom]'" in ran.stderr


def test_no_engine_for_a_modality_is_one_sentence_with_the_choices_and_2(
    head: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path / "in", head, 4, HEADERS["t2"])
    words = ("prepare", tmp_path / "in", "-o", tmp_path / "out")
    assert exit_code(*words, "--brain", "deepbet") == 2
    assert "--brain deepbet takes t1 and t1ce, and there is t2 alone: choose among" in capsys.readouterr().err
    assert exit_code(*words, "--brain", "bet") == 2
    assert capsys.readouterr().err.startswith("error: unknown --brain bet: choose among --brain deepbet (t1, t1ce), ")
    assert exit_code(*words, "--brain", "hd-bet", "--brain_weights", tmp_path) == 2
    assert exit_code("predict", tmp_path / "in", "-o", tmp_path / "both", "--brain", "deepbet") == 2
    assert "there is t2 alone" in capsys.readouterr().err
