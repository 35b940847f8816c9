from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import exit_code


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["data", "check", "absent"], "error: absent is not a folder"),
        (["data", "split", "{}", "--seed", "one"], "error: expected a whole number, got 'one'"),
        (["data", "check", "{}", "--exclude", "d"], "error: cannot exclude 'd'"),
        (["data", "check", "{}", "--exlude", "c"], "Could not consume arg: --exlude"),
        (["data", "check", "{}", "surplus"], "Could not consume arg: surplus"),
        (["data", "chekc"], "Could not consume arg: chekc"),
    ],
)
def test_slip_on_the_command_line_ends_with_2_before_anything_runs(
    dataset: Path, words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*(word.format(dataset) for word in words)) == 2
    output = capsys.readouterr()
    assert complaint in output.err
    assert output.out == ""


def test_interrupt_ends_with_130(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pkdr_monai.data.check_cases", interrupt)
    assert exit_code("data", "check", dataset) == 130


@pytest.mark.parametrize(
    ("words", "teaches"),
    [
        ([], "pkdr data demo synthetic --cases 8"),
        (["data"], "pkdr data check MICCAI_BraTS_2018_Data_Training"),
        (["data", "split"], "Example: pkdr data split"),
    ],
)
def test_help_teaches_with_an_example(words: list[str], teaches: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(*words, "--help") == 0
    text = capsys.readouterr().err
    assert teaches in text
    assert "FIRE_METADATA" not in text


def test_importing_the_command_line_loads_neither_torch_nor_monai() -> None:
    code = "import sys, pkdr_monai.cli, pkdr_monai.data; sys.exit(bool({'torch', 'monai'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reader_that_stops_listening_is_no_traceback(dataset: Path) -> None:
    code = "from pkdr_monai.cli import main; main()"
    command = [sys.executable, "-c", code, "data", "check", str(dataset)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # type: ignore[union-attr]
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 141


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["data", "check", "x", "--exlude", "c"], "--exlude is unknown: did you mean --exclude?"),
        (["predict", "x", "-o", "y", "--save-probabilites"], "did you mean --save_probabilities?"),
        (["predict", "x", "--fast", "--outptu", "y"], "--outptu is unknown: did you mean --output?"),
        (["data", "chekc"], "chekc is unknown: did you mean check?"),
        (["pedict"], "did you mean predict?"),
    ],
)
def test_a_slip_is_answered_with_what_may_be_meant(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*words) == 2
    assert meant in capsys.readouterr().err.splitlines()[-1]
