from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pkdr_monai.cli import main
from tests.conftest import exit_code

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return ["--smoke", "--modalities", "t2", "--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]


def test_dry_run_prints_the_plan_and_runs_nothing(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    main(["experiment", "table1/pkdr", *words, "--dry_run"])
    output = capsys.readouterr().out
    assert "to run  bundle_teacher_all_seed0 (bundle/teacher, table2/patch_selection; on all)" in output
    assert "to run  table1_pkdr_t2_seed0 (table1/pkdr, table3/full; on t2)" in output
    assert "study phantom-smoke: 2 of 2 runs to do, in about " in output
    assert "python -m monai.bundle run training --config_file \"['bundle/configs/train.json'" in output
    assert not (tmp_path / "work" / "phantom-smoke" / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["table9"], "error: no experiment 'table9': expected a table"),
        (["table1", "--executor", "kubernetes"], "error: expected local or slurm, got 'kubernetes'"),
        (["table1", "--cohort", "nowhere"], "error: no cohort 'nowhere'"),
        (["table1", "--seeds", "a"], "error: expected a whole number, got 'a'"),
        (["table1", "--epochs", "0"], "error: max_epochs is 0: expected --epochs of 1 or more"),
        (["table1", "--epcohs", "3"], "Could not consume arg: --epcohs"),
    ],
)
def test_slip_ends_with_2(
    words: list[str], arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("experiment", *words, *arguments) == 2
    assert complaint in capsys.readouterr().err


def test_modality_that_does_not_exist_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("experiment", "table1", "--smoke", "--modalities", "pet") == 2
    assert "error: unknown modality 'pet'" in capsys.readouterr().err


def test_report_of_a_folder_that_is_no_study_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("experiment", "report", tmp_path) == 2
    assert "study.json" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_and_repeated_it_goes_on_where_it_was_and_prints_the_table(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pkdr_monai", "experiment", "table1/unimodal", *words, "--seeds", "0,1"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs = tmp_path / "results" / "phantom-smoke" / "runs"
    first = runs / "table1_unimodal_t2_seed0_on_t2.json"
    _wait(first.is_file)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = first.stat().st_mtime_ns

    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "done    table1_unimodal_t2_seed0" in finished.stdout
    assert "study phantom-smoke: 1 of 2 runs to do" in finished.stdout
    assert first.stat().st_mtime_ns == written
    assert sorted(path.name for path in runs.iterdir()) == [first.name, first.name.replace("seed0", "seed1")]
    assert "| Unimodal" in finished.stdout
    assert "0.6491" in finished.stdout  # the published figure stands beside ours


def _wait(condition: object, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)
