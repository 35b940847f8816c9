"""What the evaluation program of BraTS 2023 scores on label maps of boxes; its figures are kept here.

The program is https://github.com/rachitsaluja/BraTS-2023-Metrics at commit 0c603fc, whose columns ``Legacy_Dice`` and
``Legacy_HD95`` are those of whole images. The figures are of its functions, called with the arrays of
:func:`label_maps`; its surface distances are those of the package surface-distance 0.1.
"""

from __future__ import annotations

import numpy as np

SHAPE, SPACING = (40, 36, 30), (1.0, 1.0, 1.0)
SEEDS = range(8)
FIGURES: dict[int, dict[str, tuple[float, float]]] = {
    0: {"wt": (0.890562248996, 1.000000), "tc": (0.805369127517, 2.000000), "et": (0.468750000000, 3.000000)},
    1: {"wt": (0.750000000000, 4.000000), "tc": (0.885529157667, 2.000000), "et": (0.281250000000, 4.123106)},
    2: {"wt": (0.699588477366, 3.000000), "tc": (0.571428571429, 4.000000), "et": (0.000000000000, 374.000000)},
    3: {"wt": (0.576131687243, 4.123106), "tc": (0.630208333333, 3.000000), "et": (0.000000000000, 374.000000)},
    4: {"wt": (0.631436314363, 4.000000), "tc": (0.686383928571, 3.000000), "et": (0.656250000000, 2.000000)},
    5: {"wt": (0.821954484605, 2.000000), "tc": (0.723863636364, 2.000000), "et": (0.000000000000, 374.000000)},
    6: {"wt": (0.715447154472, 3.000000), "tc": (0.635346756152, 3.000000), "et": (0.000000000000, 374.000000)},
    7: {"wt": (0.787037037037, 3.000000), "tc": (0.598863636364, 3.000000), "et": (0.000000000000, 374.000000)},
}
"""By seed and region: Legacy_Dice and, in mm, Legacy_HD95."""


def label_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a prediction and a truth with the labels of BraTS 2023; in some there is no enhancing tumour."""
    random = np.random.default_rng(seed)
    prediction, truth = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    centre = random.integers(12, 20, 3)
    for value, radius in ((2, 9), (1, 6), (3, 4)):
        for mask in (prediction, truth):
            if value == 3 and random.random() < 0.4:
                continue
            corner = centre - radius + random.integers(-2, 3, 3)
            mask[tuple(slice(low, low + 2 * radius) for low in corner)] = value
    return prediction, truth
