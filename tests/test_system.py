"""Freed memory stays with the process, and its peak is what the system says."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pkdr_monai import system as allocator
from pkdr_monai import system as module
from pkdr_monai.system import keep_freed_memory, peak_memory

FAULTS = """
import resource, sys, torch
from pkdr_monai.system import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(16):
    torch.empty(1 << 24).fill_(1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.empty(1 << 24).fill_(1.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
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


def _page_faults(mode: str) -> int:
    result = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_large_blocks_are_taken_from_the_system_once() -> None:
    assert _page_faults("keep") < 0.2 * _page_faults("return")


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False


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
