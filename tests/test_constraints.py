"""The tested versions in constraints.txt can be installed with every Python that the package's metadata names."""

from __future__ import annotations

import configparser
import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PINS = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def _metadata() -> tuple[SpecifierSet, list[str]]:
    """Return ``python_requires`` and the versions of Python among the classifiers."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    named = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    return SpecifierSet(setup["options"]["python_requires"]), named


REQUIRED, NAMED = _metadata()
LOWEST = [specifier.version for specifier in REQUIRED if specifier.operator == ">="]


def test_the_lowest_python_is_named_and_none_below_it() -> None:
    assert [min(NAMED, key=Version)] == LOWEST


@pytest.mark.parametrize("python", NAMED)
def test_each_pinned_version_allows_each_python_that_the_metadata_names(python: str) -> None:
    """Offline, so from what is installed; a pin whose version is not installed here is not compared."""
    allowed, compared = {}, 0
    for name, version in PINS:
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if Version(package.version).public == version:
            compared += 1
            allowed[name] = SpecifierSet(package.metadata["Requires-Python"] or "")
    assert compared > len(PINS) / 2
    assert [name for name, pythons in allowed.items() if not pythons.contains(f"{python}.99")] == []


def test_ruff_and_mypy_check_for_the_lowest_python() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert [setup["mypy"]["python_version"]] == LOWEST
    assert f'target-version = "py{LOWEST[0].replace(".", "")}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
