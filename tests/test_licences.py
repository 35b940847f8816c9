"""All that the package needs may be used, changed and passed on freely, and no major version comes unasked."""

from __future__ import annotations

import configparser
import importlib.util
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
FREE = re.compile(
    r"Apache|BSD|MIT|ISC|PSF|Python Software Foundation|MPL|Mozilla|HPND|CNRI|Zlib|Unlicense|0BSD|FreeType"
)
OWN = re.compile(r"nvidia|cuda")  # the card maker's libraries, which PyTorch brings where there is a card

spec = importlib.util.spec_from_file_location("licences", ROOT / "tools" / "licences.py")
licences = importlib.util.module_from_spec(spec)
spec.loader.exec_module(licences)


def _requirements() -> list[Requirement]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return [Requirement(line) for line in setup["options"]["install_requires"].split("\n") if line]


def test_every_licence_is_known_and_permissive() -> None:
    found = {name: licences.licence(package) for name, package in licences.needed().items()}
    assert {"torch", "monai", "numpy"} <= set(found)
    assert {name: text for name, text in found.items() if not FREE.search(text) and not OWN.search(name)} == {}


@pytest.mark.parametrize("requirement", _requirements(), ids=str)
def test_every_requirement_has_a_lower_and_an_upper_bound(requirement: Requirement) -> None:
    assert {specifier.operator for specifier in requirement.specifier} == {">=", "<"}
