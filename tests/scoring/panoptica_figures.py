"""What panoptica counts on masks of boxes; it is not installed where the tests run, so that its figures are kept here.

Example, in an environment with panoptica 2.1.7, SciPy and NumPy alone: python tests/scoring/panoptica_figures.py
"""

from __future__ import annotations

import sys

import numpy as np

SHAPE = (26, 24, 22)
VERSION = "2.1.7"
FIGURES: dict[tuple[int, float], tuple[int, int, int, float, tuple[int, int]]] = {
    (0, 0.1): (6, 2, 2, 0.921791443850, (490, 541)),
    (0, 0.5): (6, 2, 2, 0.921791443850, (490, 541)),
    (1, 0.1): (7, 4, 0, 0.775084631009, (382, 585)),
    (1, 0.5): (4, 7, 3, 1.000000000000, (382, 585)),
    (2, 0.1): (7, 2, 1, 0.743128434623, (518, 578)),
    (2, 0.5): (4, 5, 4, 1.000000000000, (518, 578)),
    (3, 0.1): (5, 2, 1, 0.831569929321, (514, 524)),
    (3, 0.5): (4, 3, 2, 0.956129078318, (514, 524)),
    (4, 0.1): (4, 5, 3, 0.826923076923, (240, 436)),
    (4, 0.5): (3, 6, 4, 1.000000000000, (240, 436)),
    (5, 0.1): (7, 3, 2, 0.800103519669, (405, 476)),
    (5, 0.5): (5, 5, 4, 0.960000000000, (405, 476)),
}
"""By seed and threshold: true positives, false negatives, false positives, mean Dice of the first, voxels of both."""


def masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a prediction and a truth: boxes, of which some are moved, some left out and some new."""
    random = np.random.default_rng(seed)
    prediction, truth = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    for fate in random.integers(0, 5, 14):
        corner, size = random.integers(0, 20, 3), random.integers(2, 6, 3)
        moved = corner + random.integers(-1, 2, 3) * (fate == 1)
        for mask, start, drawn in ((truth, corner, fate != 3), (prediction, np.maximum(moved, 0), fate != 4)):
            if drawn:
                mask[tuple(slice(low, low + extent) for low, extent in zip(start, size, strict=True))] = True
    return prediction, truth


def main() -> None:
    """Print the figures."""
    from panoptica import (
        ConnectedComponentsInstanceApproximator,
        InputType,
        NaiveThresholdMatching,
        Panoptica_Evaluator,
    )
    from panoptica.metrics import Metric

    for seed in range(6):
        for threshold in (0.1, 0.5):
            evaluator = Panoptica_Evaluator(
                InputType.SEMANTIC,
                ConnectedComponentsInstanceApproximator(),
                NaiveThresholdMatching(Metric.IOU, threshold),
                instance_metrics=[Metric.DSC],
                global_metrics=[Metric.DSC],
            )
            prediction, truth = masks(seed)
            pair = (prediction.astype(np.uint8), truth.astype(np.uint8))
            result = evaluator.evaluate(*pair)["ungrouped"]
            counts = f"{result.tp}, {result.fn}, {result.fp}, {float(result.sq_dsc):.12f}"
            sizes = f"({prediction.sum()}, {truth.sum()})"
            sys.stdout.write(f"    ({seed}, {threshold}): ({counts}, {sizes}),\n")


if __name__ == "__main__":
    main()
