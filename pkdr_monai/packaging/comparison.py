"""How far an engine is from the network itself, and how much faster: eager PyTorch in float32 beside the others."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from monai.inferers import SlidingWindowInferer
from monai.metrics import compute_dice
from torch import Tensor

from pkdr_monai.regions import REGIONS

__all__ = ["BOUNDS", "MAX_LOGIT_DIFFERENCE", "Comparison", "compare"]

MAX_LOGIT_DIFFERENCE = 1e-3
BOUNDS = {
    "float32": {"max_logit_difference": MAX_LOGIT_DIFFERENCE, "dice": 0.999},
    "bfloat16": {"dice": 0.995},  # rounding moves large logits most, where nothing depends on it
}
"""How far an engine may be from PyTorch in float32, by what it computes in."""

WARM_UP = 2  # passes before the clock runs: TorchScript watches the first and compiles in the second

Predictor = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Comparison:
    """What a comparison with float32 PyTorch found.

    Args:
        max_logit_difference: largest absolute difference of a logit.
        dice: agreement of the segmentations, by region; 1 where both are empty.
        time_ratio: seconds for a window, divided by PyTorch's.
    """

    max_logit_difference: float
    dice: Mapping[str, float]
    time_ratio: float

    def fault(self, precision: str) -> str | None:
        """Return why an engine that computes in a precision may not be offered, or ``None``."""
        largest, least = BOUNDS[precision].get("max_logit_difference", math.inf), BOUNDS[precision]["dice"]
        if not self.max_logit_difference <= largest:  # so that NaN is a fault too
            return f"a logit differs by {self.max_logit_difference:.2g}, more than {largest:g}"
        region = min(self.dice, key=lambda name: self.dice[name])
        if self.dice[region] < least:
            return f"the Dice of its {region.upper()} with PyTorch's is {self.dice[region]:.4f}, less than {least}"
        return None


@torch.inference_mode()
def compare(
    network: Predictor, engines: Mapping[str, Predictor], image: Tensor, roi_size: Sequence[int], overlap: float = 0.5
) -> dict[str, Comparison]:
    """Segment one image with every engine side by side, window by window, and compare each with the network.

    All see each window in turn, so that other work on the machine slows none of them alone. Before the clock runs, each
    sees the first window twice, since engines prepare themselves then.

    Args:
        network: the reference, on the CPU in float32.
        engines: predictors by name.
        image: preprocessed, ``(1, M, X, Y, Z)``.
        roi_size: window in voxels.
        overlap: of neighbouring windows.

    Returns:
        The comparison of each engine.
    """
    predictors: dict[str, Predictor] = {"": network, **engines}
    seconds: dict[str, list[float]] = {name: [] for name in predictors}

    def side_by_side(window: Tensor) -> Tensor:  # (1, 3 x predictors, x, y, z)
        if not seconds[""]:
            for predict in (*predictors.values(),) * WARM_UP:
                predict(window)
        outputs = []
        for name, predict in predictors.items():
            start = time.perf_counter()
            outputs.append(predict(window))
            seconds[name].append(time.perf_counter() - start)
        return torch.cat(outputs, dim=1)

    inferer = SlidingWindowInferer(roi_size, sw_batch_size=1, overlap=overlap)
    reference, *others = torch.split(torch.as_tensor(inferer(image, side_by_side)), len(REGIONS), dim=1)
    unit = statistics.median(seconds[""])
    return {
        name: Comparison(
            float((logits - reference).abs().max()),
            dict(zip(REGIONS, _agreement(logits, reference), strict=True)),
            statistics.median(seconds[name]) / unit,
        )
        for name, logits in zip(engines, others, strict=True)
    }


def _agreement(logits: Tensor, reference: Tensor) -> list[float]:
    """Return the Dice of two segmentations for each region."""
    dice = compute_dice((logits >= 0).float(), (reference >= 0).float(), ignore_empty=False)  # (1, 3)
    return [float(value) for value in dice[0]]
