"""The command line of segmentation: its words, its exit codes, its two voices."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pkdr_monai.inference.scans import Scan
from pkdr_monai.runs.model_card import ModelCard
from tests.conftest import exit_code


@pytest.fixture
def flair(scan: Scan) -> Path:
    return scan.paths(["flair"])[0]


def test_one_flair_in_one_command(flair: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pkdr_monai.cli import main

    main(["predict", "--flair", str(flair), "-o", str(tmp_path), "--models", str(runs), "--fast"])
    output = capsys.readouterr()
    assert "model: pkdr_flair" in output.out
    assert "not a medical device" in output.out
    assert "--roi_size '[-1, -1, -1]'" in output.out
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["fast"] is True


def test_it_runs_where_python_has_no_modules_of_unix(flair: Path, runs: Path, tmp_path: Path) -> None:
    without = "import sys; sys.modules |= dict.fromkeys(('fcntl', 'resource', 'termios'))"
    words = ["predict", str(flair), "-o", str(tmp_path), "--models", str(runs), "--fast"]
    code = f"{without}; from pkdr_monai.cli import main; main({words!r})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot be locked" in ran.stderr
    assert json.loads((tmp_path / "run.json").read_text())["summary"]["done"] == 1


def test_quiet_says_nothing_and_json_says_all(
    flair: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pkdr_monai.cli import main

    words = ["predict", str(flair), "-o", str(tmp_path), "--models", str(runs)]
    main([*words, "--quiet"])
    assert capsys.readouterr() == ("", "")
    main([*words, "--json"])
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "run.json").read_text())
    assert record["cases"][0]["status"] == "skipped"
    assert record["models"][0]["expected_dice"]["mean"]["wt"] == 0.8


def test_some_failed_is_1_and_all_bad_is_2(
    cohort: Path, flair: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad_flair.nii.gz"
    bad.write_text("text")
    options = ["-o", tmp_path / "out", "--models", runs]
    assert exit_code("predict", bad, flair, *options) == 1
    worse = shutil.copy(bad, tmp_path / "worse_flair.nii.gz")
    assert exit_code("predict", bad, *options) == 2
    assert exit_code("predict", bad, worse, *options) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [error.partition(", ")[0] for error in errors] == [
        "error: bad: case bad",
        "error: case bad",
        "error: bad: case bad",
        "error: worse: case worse",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["empty", "-o", "out"], "error: no case found in empty"),
        (["absent.nii.gz", "-o", "out"], "error: there is no file absent.nii.gz"),
        (["-o", "out"], "error: expected a folder or files"),
        (["{flair}", "--t1", "{flair}", "-o", "out"], "error: expected a folder or files"),
        (["{flair}", "-o", "out", "--use", "some"], "error: unknown use 'some': choose among best, all"),
        (["{flair}", "-o", "out", "--window-overlap", "1"], "error: window_overlap is from 0 to below 1"),
        (["{flair}", "-o", "out", "--models", "empty"], "error: no model found in empty"),
        (["{flair}", "-o", "out", "--model", "{runs}/absent.pt"], "error: there is no checkpoint at"),
        (["{flair}", "-o", "out", "--modell", "x"], "error: --modell is unknown: did you mean --model?"),
        (["{flair}", "-o", "out", "--device", "gpu"], "error: unknown device 'gpu': choose cpu"),
        (["{flair}", "-o", "out", "--device", "mps"], "error: there is no device mps here"),
        (["{flair}", "-o", "file/out"], "error: cannot write to file/out"),
    ],
)
def test_bad_input_is_one_sentence_and_2_before_anything_is_written(
    flair: Path,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    named = [word.format(flair=flair, runs=runs) for word in words]
    if "--models" not in words and "--model" not in words:
        named += ["--models", str(runs)]
    assert exit_code("predict", *named) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(sentence)
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_modality_is_refused(
    flair: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("predict", flair, "-o", tmp_path, "--model", runs / "pkdr_t2") == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: no model segments from flair alone: found pkdr_t2 (sees t2)")


def test_a_missing_checkpoint_is_a_sentence(
    flair: Path,
    tmp_path: Path,
    make_model: Callable[..., ModelCard],
    capsys: pytest.CaptureFixture[str],
) -> None:
    card = make_model(tmp_path / "runs" / "pkdr_flair")
    card.weights.unlink()
    assert exit_code("predict", flair, "-o", tmp_path / "out", "--models", tmp_path / "runs") == 2
    assert "error: there is no checkpoint at" in capsys.readouterr().err
