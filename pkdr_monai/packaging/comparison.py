"""How far an export is from the network that it was made of, and how much faster: float32 PyTorch beside the others."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from monai.inferers import SlidingWindowInferer
from monai.metrics import compute_dice
from torch import Tensor

from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS

__all__ = ["MAX_LOGIT_DIFFERENCE", "MIN_DICE", "Comparison", "compare", "open_export"]

MAX_LOGIT_DIFFERENCE = 1e-3
MIN_DICE = 0.999
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

    @property
    def fault(self) -> str | None:
        """Why the export may not be offered, or ``None``."""
        if not self.max_logit_difference <= MAX_LOGIT_DIFFERENCE:  # so that NaN is a fault too
            return f"a logit differs by {self.max_logit_difference:.2g}, more than {MAX_LOGIT_DIFFERENCE:g}"
        region = min(self.dice, key=lambda name: self.dice[name])
        if self.dice[region] < MIN_DICE:
            return f"the Dice of its {region.upper()} with PyTorch's is {self.dice[region]:.4f}, less than {MIN_DICE}"
        return None


@torch.inference_mode()
def compare(
    network: Predictor, exports: Mapping[str, Predictor], image: Tensor, roi_size: Sequence[int], overlap: float = 0.5
) -> dict[str, Comparison]:
    """Segment one image with every export side by side, window by window, and compare each with the network.

    All see each window in turn, so that other work on the machine slows none of them alone. Before the clock runs, each
    sees the first window twice, since engines prepare themselves then.

    Args:
        network: the reference, on the CPU in float32.
        exports: predictors by name.
        image: preprocessed, ``(1, M, X, Y, Z)``.
        roi_size: window in voxels.
        overlap: of neighbouring windows.

    Returns:
        The comparison of each export.
    """
    predictors: dict[str, Predictor] = {"": network, **exports}
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
        for name, logits in zip(exports, others, strict=True)
    }


def open_export(path: str | Path) -> Predictor:
    """Return what predicts with an exported file on the CPU, in float32 and with as many threads as PyTorch has.

    Args:
        path: ``model.ts``, ``model.onnx`` or ``model.xml``.

    Raises:
        InputError: when the file is none of these.
    """
    path, threads = Path(path), torch.get_num_threads()
    if path.suffix == ".ts":
        return torch.jit.load(path, map_location="cpu").eval()
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda image: torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
    if path.suffix == ".xml":
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(path, "CPU", settings)
        return lambda image: torch.from_numpy(compiled(image.numpy())[0].copy())
    raise InputError(f"{path} is no export: expected model.ts, model.onnx or model.xml.")


def _agreement(logits: Tensor, reference: Tensor) -> list[float]:
    """Return the Dice of two segmentations for each region."""
    dice = compute_dice((logits >= 0).float(), (reference >= 0).float(), ignore_empty=False)  # (1, 3)
    return [float(value) for value in dice[0]]
