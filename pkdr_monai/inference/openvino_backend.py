"""A network in OpenVINO, from the files that ``pkdr bundle build`` exported and checked."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["OpenVinoBackend"]


class OpenVinoBackend:
    """A network in OpenVINO, on the CPU in float32, with as many threads as PyTorch has.

    Not in bfloat16: there, OpenVINO 2026.4 was seen to spoil the memory of its process, which died later, elsewhere.

    Args:
        path: ``model.xml``, with ``model.bin`` beside it; it takes a batch of one.
    """

    def __init__(self, path: str | Path) -> None:
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._model = openvino.Core().compile_model(Path(path), "CPU", settings)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return torch.from_numpy(self._model(image.cpu().numpy())[0].copy())  # the engine keeps the original
