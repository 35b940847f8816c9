"""The first contact: one synthetic patient of whom only FLAIR exists, segmented with the weights that come along."""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.steps import ROOT, Step, run_steps

FOLDER = Path("demo")
CASES, SHAPE, SPACING = 1, "180,216,144", "1.2"


def main() -> int:
    """Draw the patient, keep the FLAIR alone, segment it, write a page; return an exit code."""
    steps = [
        Step(
            "Draw one synthetic patient",
            [
                "pkdr",
                "data",
                "demo",
                str(FOLDER / "patient"),
                f"--cases={CASES}",
                f"--shape={SHAPE}",
                f"--spacing={SPACING}",
            ],
        ),
    ]
    code = run_steps(steps, "make demo")
    if code:
        return code
    flair = next((ROOT / FOLDER / "patient").glob("*/*/*_flair.nii.gz")).relative_to(ROOT)
    steps = [
        Step("Segment it from FLAIR alone", ["pkdr", "predict", str(flair), "--output", str(FOLDER / "result")]),
        Step("Write a page about it", ["pkdr", "report", str(FOLDER / "result")]),
    ]
    code = run_steps(steps, "make demo")
    if not code:
        print(f"\nThe label map, a preview and record.json are in {FOLDER / 'result'}/; the page says where it is.")
        print("The patient is synthetic. Research software, not a medical device.")
    return code


if __name__ == "__main__":
    sys.exit(main())
