"""Try the bundle in each consumer, and print one line about each."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pkdr_monai.terminal import echo
from tests.consumers import deploy, flare, monai_label
from tests.consumers.workshop import TrialError, Workshop

TRIALS = {"monai_label": monai_label.trial, "flare": flare.trial, "deploy": deploy.trial}


def main(names: list[str]) -> int:
    """Run the trials of these names, all without any; return 1 when one failed."""
    unknown = set(names) - set(TRIALS)
    if unknown:
        sys.exit(f"no consumer {', '.join(sorted(unknown))}: choose among {', '.join(TRIALS)}.")
    workshop = Workshop(Path(".consumers").absolute())
    workshop.prepare()
    failures = 0
    for name in names or TRIALS:
        started = time.perf_counter()
        try:
            seen = f"passed: {TRIALS[name](workshop)}"
        except TrialError as error:
            seen, failures = f"FAILED: {error}", failures + 1
        echo(f"{name} ({time.perf_counter() - started:.0f} s) {seen}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
