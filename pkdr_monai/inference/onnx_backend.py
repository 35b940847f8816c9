"""A network in ONNX Runtime, from the file that ``pkdr bundle build`` exported and checked."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["OnnxBackend"]


class OnnxBackend:
    """A network in ONNX Runtime, on the CPU in float32, with as many threads as PyTorch has.

    Args:
        path: ``model.onnx``, whose input is called ``image``; it takes a batch of one.
    """

    def __init__(self, path: str | Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        (logits,) = self._session.run(None, {"image": image.cpu().numpy()})
        return torch.from_numpy(logits)
