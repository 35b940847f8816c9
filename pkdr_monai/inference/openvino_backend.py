"""A network in OpenVINO, from the files that ``pkdr bundle build`` exported and checked."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["OpenVinoBackend"]

HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoBackend:
    """A network in OpenVINO, on the CPU, with as many threads as PyTorch has.

    Args:
        path: ``model.xml``, with ``model.bin`` beside it; it takes a batch of one.
        precision: ``"float32"``, or ``"bfloat16"`` where the processor computes in it.
    """

    def __init__(self, path: str | Path, precision: str = "float32") -> None:
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": HINTS[precision], "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._model = openvino.Core().compile_model(Path(path), "CPU", settings)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return torch.from_numpy(self._model(image.cpu().numpy())[0].copy())  # the engine keeps the original
