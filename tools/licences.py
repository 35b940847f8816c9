"""List the packages that this one needs, those that they need in turn, and the licence of each.

Example: python tools/licences.py; python tools/licences.py --extras onnx,openvino
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

UNKNOWN = "unknown"


def needed(name: str = "pkdr-monai", extras: Iterable[str] = ()) -> dict[str, Distribution]:
    """Return the installed packages that one needs on this machine, by name, without itself.

    Args:
        name: the package.
        extras: names of its optional parts, such as ``onnx``.
    """
    found: dict[str, Distribution] = {}
    waiting = [(canonicalize_name(name), frozenset(extras))]
    seen = set(waiting)
    while waiting:
        package, wanted = waiting.pop()
        try:
            found[package] = distribution(package)
        except PackageNotFoundError:
            continue  # an optional one
        for requirement in map(Requirement, found[package].requires or ()):
            contexts: list[dict[str, str]] = [{"extra": extra} for extra in ("", *wanted)]
            if requirement.marker is None or any(map(requirement.marker.evaluate, contexts)):
                step = (canonicalize_name(requirement.name), frozenset(requirement.extras))
                if step not in seen:
                    seen.add(step)
                    waiting.append(step)
    found.pop(canonicalize_name(name), None)
    return dict(sorted(found.items()))


def licence(package: Distribution) -> str:
    """Return the licence that a package states: its expression, its classifiers, or the first line of its text."""
    facts = package.metadata
    classifiers = [
        line.rpartition(" :: ")[2] for line in facts.get_all("Classifier") or () if line.startswith("License :: ")
    ]
    stated = (facts.get("License-Expression"), ", ".join(classifiers), facts.get("License"))  # the last may be a text
    return next((text.splitlines()[0] for text in stated if text and text != "UNKNOWN"), UNKNOWN)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", default="", help="optional parts, with commas between them")
    extras = [name for name in parser.parse_args().extras.split(",") if name]
    for name, package in needed(extras=extras).items():
        sys.stdout.write(f"{name:32} {package.version:14} {licence(package)}\n")


if __name__ == "__main__":
    main()
