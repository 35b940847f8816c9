"""The peak is that of this process, wherever the system reports it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pkdr_monai import system as module
from pkdr_monai.system import peak_memory

PARENT = """
import subprocess, sys, torch
from pkdr_monai.system import peak_memory
if sys.argv[1:] == ["child"]:
    print(peak_memory())
else:
    before = peak_memory()
    block = torch.ones(2**28)  # a GiB
    del block
    child = subprocess.run([sys.executable, "-c", sys.argv[1], "child"], capture_output=True, text=True, check=True)
    print(before, peak_memory(), child.stdout)
"""


@pytest.mark.skipif(not module.STATUS.is_file(), reason="elsewhere the system reports to a child its parent's peak")
def test_the_peak_stays_and_is_not_passed_on_to_a_child() -> None:
    ran = subprocess.run([sys.executable, "-c", PARENT, PARENT], capture_output=True, text=True, check=True)
    before, after, child = map(float, ran.stdout.split())
    assert after - before > 900
    assert child - before < 200


def test_without_proc_the_system_call_tells_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before = peak_memory()
    monkeypatch.setattr(module, "STATUS", Path("absent"))
    assert peak_memory() == pytest.approx(before, rel=0.5)


def test_a_system_that_does_not_tell_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATUS", Path("absent"))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory() is None
