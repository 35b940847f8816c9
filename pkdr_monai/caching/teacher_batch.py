"""A batch of cached cases, as the trainer hands it to the Distiller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import PrepareBatch

from pkdr_monai.caching.teacher_outputs import EMBEDDING, PATCH_LOGITS, SOFT_TARGET, logits_of
from pkdr_monai.data.preprocessing import IMAGE, LABEL

__all__ = ["CachedTeacherBatch"]


class CachedTeacherBatch(PrepareBatch):
    """Give the Distiller the teacher's outputs that were cached with each case, beside image and label.

    Args:
        temperature: the one that they were softened with.
    """

    def __init__(self, temperature: float = 10.0) -> None:
        self.temperature = temperature

    def __call__(
        self,
        batchdata: Mapping[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return image, label, no positional arguments, and the teacher's outputs by their name in the Distiller."""

        def moved(key: str) -> torch.Tensor:
            return batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)

        teacher = {
            "logits": logits_of(moved(SOFT_TARGET), self.temperature),
            "patch_logits": moved(PATCH_LOGITS).float(),
            "embedding": moved(EMBEDDING).float(),
        }
        return moved(IMAGE), moved(LABEL), (), teacher
