"""The tests mirror the package: who reads a module finds its claims under the same name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = ROOT / "pkdr_monai", ROOT / "tests"
ABOUT_THE_WHOLE = {"test_layout.py", "test_constraints.py", "test_docs.py", "test_licences.py", "data/test_real.py"}

MODULES = sorted(
    path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name not in {"__init__.py"}
)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_tests(module: str) -> None:
    folder, name = Path(module).parent, Path(module).name
    assert (TESTS / folder / f"test_{name}").is_file()


def test_every_test_file_has_its_module() -> None:
    files = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    files = {file for file in files if not file.startswith(("bundle/", "heavy/"))} - ABOUT_THE_WHOLE
    assert files == {(Path(module).parent / f"test_{Path(module).name}").as_posix() for module in MODULES}


def test_no_code_prints_or_asserts_in_the_package() -> None:
    guilty = [module for module in MODULES if re.search(r"^\s*(print\(|assert )", (PACKAGE / module).read_text(), re.M)]
    assert guilty == []


def test_every_module_imports_without_the_others_being_there_first() -> None:
    """Names in ``__all__`` exist, and ``__all__`` is sorted, so that a newcomer sees what is public."""
    import importlib

    for module in MODULES:
        loaded = importlib.import_module("pkdr_monai." + module.removesuffix(".py").replace("/", "."))
        public = getattr(loaded, "__all__", None)
        assert public is not None, f"{module} has no __all__"
        assert all(hasattr(loaded, name) for name in public), module


def test_the_heavy_tests_which_run_later_can_be_imported() -> None:
    words = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "tests/heavy"]
    collected = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout
