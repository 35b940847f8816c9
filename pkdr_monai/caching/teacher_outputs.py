"""What the teacher says of a case, computed once and kept beside its image."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.engines import PrepareBatch
from torch import nn

from pkdr_monai.caching.case_cache import Prepare
from pkdr_monai.data.preprocessing import IMAGE, LABEL
from pkdr_monai.files import file_hash

__all__ = ["EMBEDDING", "PATCH_LOGITS", "SOFT_TARGET", "CachedTeacherBatch", "TeacherOutputs", "logits_of"]

SOFT_TARGET, PATCH_LOGITS, EMBEDDING = "teacher_soft_target", "teacher_patch_logits", "teacher_embedding"
LEVELS = 255  # of a probability in a byte; it is rounded by half a level at most, 1/510


class TeacherOutputs:
    """Prepare a case together with the teacher's outputs on its whole volume, so that no step has to compute them.

    The probabilities softened by the temperature of pixel distillation (Eq. 5) are kept as bytes, the patch logits and
    the embedding in float16. That is not what the teacher would say of a crop, as docs/speed.md explains.

    Args:
        prepare: what makes the image, with all the teacher's modalities.
        teacher: trained network, in eval mode.
        checkpoint: file of its weights, by whose content the cache distinguishes teachers.
        temperature: that of pixel distillation.
        device: where the teacher computes.
    """

    def __init__(
        self,
        prepare: Prepare,
        teacher: nn.Module,
        checkpoint: str | Path,
        temperature: float = 10.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.prepare = prepare
        self.teacher = teacher.eval().to(device)
        self.temperature = temperature
        self.device = torch.device(device)
        self.settings: dict[str, Any] = {
            **prepare.settings,
            "teacher": file_hash(Path(checkpoint)),
            "temperature": temperature,
        }
        self._one_at_a_time = threading.Lock()  # a whole volume takes 2 GB at full width

    def __call__(self, item: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the arrays of a case.

        Returns:
            Those of ``prepare``, and ``"teacher_soft_target"`` uint8, ``(3, X, Y, Z)``; ``"teacher_patch_logits"``,
            ``(3, x, y, z)``, and ``"teacher_embedding"``, ``(C, x, y, z)``, float16, one voxel for each patch.
        """
        arrays = dict(self.prepare(item))
        image = torch.from_numpy(arrays[IMAGE]).float()[None]
        with self._one_at_a_time, torch.no_grad():
            features = self.teacher.features(image.to(self.device))  # type: ignore[operator]
            soft = torch.sigmoid(features["logits"][0].float() / self.temperature)
            arrays[SOFT_TARGET] = (soft * LEVELS).round().to(torch.uint8).cpu().numpy()
            for name, output in ((PATCH_LOGITS, "patch_logits"), (EMBEDDING, "embedding")):
                arrays[name] = features[output][0].to(torch.float16).cpu().contiguous().numpy()
        return arrays


def logits_of(soft_target: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return the logits of softened probabilities in bytes, float32.

    Divided by the temperature, their sigmoid is the byte again; 0 and 255 stand for a half level above and below.

    Example:
        >>> logits = torch.tensor([-30.0, 0.0, 12.0])
        >>> soft = (torch.sigmoid(logits / 10) * 255).round().to(torch.uint8)
        >>> [round(value) for value in logits_of(soft, 10.0).tolist()]
        [-30, 0, 12]
    """
    probability = soft_target.float().clamp(0.5, LEVELS - 0.5) / LEVELS
    return temperature * torch.logit(probability)


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
