from __future__ import annotations

import subprocess
import sys

import pytest

from pkdr_monai.errors import InputError, speak_plainly


def run(statement: str) -> subprocess.CompletedProcess[str]:
    code = f"from pkdr_monai.errors import InputError, speak_plainly\nspeak_plainly()\n{statement}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    "statement",
    [
        "raise InputError('no such case')",
        "try:\n    raise InputError('no such case')\nexcept InputError as e:\n    raise RuntimeError('wrapped') from e",
        "try:\n    raise InputError('no such case')\nexcept InputError:\n    raise RuntimeError('while handling it')",
    ],
)
def test_input_error_ends_the_process_with_one_sentence_and_2(statement: str) -> None:
    ended = run(statement)
    assert (ended.returncode, ended.stderr, ended.stdout) == (2, "error: no such case\n", "")


def test_other_errors_keep_their_traceback() -> None:
    ended = run("raise KeyError('x')")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "KeyError: 'x'" in ended.stderr


def test_hook_is_set_only_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    speak_plainly()
    assert sys.excepthook is not sys.__excepthook__
