"""Teacher and student side by side: the only module that sees both, and the owner of all that training throws away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from monai.data import MetaTensor
from torch import nn

from pkdr_monai.arguments import switch
from pkdr_monai.networks.weights import inference_copy
from pkdr_monai.system import computes_in_bfloat16

__all__ = ["Distiller"]

logger = logging.getLogger("pkdr_monai")

Features = dict[str, torch.Tensor]


class Distiller(nn.Module):
    """Run a student, and the frozen teacher beside it, on one batch, and return what a distillation loss reads.

    What trains here is the student and the heads; ``parameters()`` and ``state_dict()`` hold just that. The teacher is
    kept outside: always in eval mode, never with a gradient, in no checkpoint and in no data-parallel wrapper. Without
    a teacher this module trains a network with heads: a teacher in its pretraining, or the unimodal baseline.

    Both networks offer ``features(x)``, a mapping of named tensors, to which ``image``, what the network saw, is added.
    A head is a module whose ``inputs`` name the features that it reads; its result joins the mapping under the head's
    name or, where it returns several tensors by name, under ``head.name``. One head given to both networks (the
    projector) is shared; the teacher's features reach it detached.

    Args:
        student: network to train; it sees the channels ``channels`` of the image.
        teacher: trained network that sees all channels; ``None`` to train without one.
        channels: the student's channels within the image; ``None`` for all.
        student_heads: heads on the student's features, by the name of their result.
        teacher_heads: trainable heads on the teacher's features, by the name of their result.
        teacher_outputs: features of the teacher that the loss or the heads read; the others are freed at once.
        teacher_dtype: ``"bfloat16"`` or ``"float16"`` runs a copy of the teacher with folded batch norm and
            channels-last weights in that precision; ``None`` or ``"float32"`` runs it as it is; ``"auto"`` is
            bfloat16 where the card, or without one the processor, computes in it, else float32.
        student_dtype: ``"bfloat16"`` or ``"float16"`` runs the student and all heads under autocast, on the CPU as
            well, where MONAI's ``amp`` does nothing; the weights stay in float32. ``"auto"`` as above.
        compile: run all of this through ``torch.compile``, as one graph. The first step then takes minutes,
            the losses stay the same but for rounding, and so do the names of parameters. The words ``"true"`` and
            ``"false"`` are understood.
        teacher_cached: the teacher's features come with each batch, computed before; there is no ``teacher`` then.
        incomplete: images may lack a modality, as a channel of zeros. The teacher's features then hold ``complete``,
            ``(B,)``, bool, whether a sample has all of them; a loss lets the teacher teach on those samples alone.

    Raises:
        ValueError: when heads for a teacher come without one, a dtype is unknown, a teacher comes in both ways, or
            images that lack a modality are to train a student that needs certain ones.

    Example:
        >>> from pkdr_monai.networks import PatchSelectionHead, PatchVNet
        >>> student, teacher = PatchVNet(1, init_filters=2), PatchVNet(4, init_filters=2, patch_head=True)
        >>> heads = {"patch_logits": PatchSelectionHead(32)}
        >>> distiller = Distiller(student, teacher, channels=[2], student_heads=heads)
        >>> prediction = distiller.eval()(torch.zeros(1, 4, 32, 16, 16))
        >>> sorted(prediction["teacher"]), tuple(prediction["student"]["patch_logits"].shape)
        (['embedding', 'logits', 'patch_logits'], (1, 3, 2, 1, 1))
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None = None,
        channels: Sequence[int] | None = None,
        student_heads: Mapping[str, nn.Module] | None = None,
        teacher_heads: Mapping[str, nn.Module] | None = None,
        teacher_outputs: Sequence[str] = ("logits", "patch_logits", "embedding"),
        teacher_dtype: str | None = None,
        student_dtype: str | None = None,
        compile: bool | str = False,
        teacher_cached: bool = False,
        incomplete: bool = False,
    ) -> None:
        super().__init__()
        if teacher is not None and teacher_cached:
            raise ValueError("teacher_cached says that the teacher's features come with the batch: give no teacher.")
        if teacher is None and teacher_heads and not teacher_cached:
            raise ValueError(f"teacher_heads {sorted(teacher_heads)} were given without a teacher.")
        if incomplete and channels is not None:
            raise ValueError(
                "cases that lack a modality serve a student for any subset of the modalities alone: give it all "
                "channels (any_subset.json), or set incomplete to false."
            )
        self.student = student
        self.student_heads = nn.ModuleDict(student_heads or {})
        self.teacher_heads = nn.ModuleDict(teacher_heads or {})
        self.teacher_cached = teacher_cached
        self.incomplete = incomplete
        self.channels = None if channels is None else list(channels)
        self.teacher_outputs = tuple(teacher_outputs)
        self._dtype = _floating_dtype("teacher_dtype", teacher_dtype)
        self._student_dtype = _floating_dtype("student_dtype", student_dtype)
        # In a tuple, so that torch does not register it: train(), parameters(), state_dict() and DDP pass it by.
        self._teacher: tuple[nn.Module, ...] = () if teacher is None else (_frozen(teacher, self._dtype),)
        if switch(compile):
            self.compile()

    @property
    def precision(self) -> dict[str, str]:
        """What ``teacher_dtype`` and ``student_dtype`` came to, such as ``"bfloat16"``, for a run's record."""
        dtypes = {"student": self._student_dtype, "teacher": self._dtype}
        return {network: str(dtype or torch.float32).removeprefix("torch.") for network, dtype in dtypes.items()}

    @property
    def teacher(self) -> nn.Module | None:
        """The frozen network, or ``None``."""
        return self._teacher[0] if self._teacher else None

    def forward(self, image: torch.Tensor, **cached: torch.Tensor) -> dict[str, Features]:
        """Return the features of both networks.

        Args:
            image: the teacher's modalities, ``(B, M, X, Y, Z)``.
            cached: the teacher's features by name, such as ``logits``, where they were computed before.

        Returns:
            ``{"student": features, "teacher": features}``; ``"teacher"`` only where there is one. Tensors of the
            teacher carry no gradient, but for what its heads make of them.

        Raises:
            ValueError: when features of the teacher come unasked, or do not come.
        """
        if bool(cached) != self.teacher_cached:
            said = "come with the batch" if self.teacher_cached else "are computed here"
            raise ValueError(f"the Distiller expects that the teacher's features {said}, and got {sorted(cached)}.")
        if isinstance(image, MetaTensor):
            image = image.as_tensor()
        prediction: dict[str, Features] = {}
        features: Features | None = {name: tensor.detach() for name, tensor in cached.items()} or None
        if self._teacher:
            features = self._teacher_features(image)
        view = image if self.channels is None else image[:, self.channels]
        with self._precision(image.device.type):
            if features is not None:
                prediction["teacher"] = _with_heads(features, self.teacher_heads)
                if self.incomplete:
                    prediction["teacher"]["complete"] = image.detach().flatten(2).any(2).all(1)
            prediction["student"] = _with_heads({**_features(self.student, view), "image": view}, self.student_heads)
        return prediction

    def _precision(self, device_type: str) -> AbstractContextManager[None]:
        """Autocast to the student's dtype; without one, whatever the caller has set."""
        return torch.autocast(device_type, self._student_dtype) if self._student_dtype else nullcontext()

    @torch.no_grad()
    def _teacher_features(self, image: torch.Tensor) -> Features:
        teacher = self._teacher[0].eval()
        if self._dtype is not None:
            image = image.to(dtype=self._dtype, memory_format=torch.channels_last_3d)
        features = {**_features(teacher, image), "image": image}
        kept = (name for name in self.teacher_outputs if name in features)
        return {name: features[name].to(torch.float32, memory_format=torch.contiguous_format) for name in kept}

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Distiller:
        """Move the teacher along with ``to(device)``; its dtype is its own."""
        super()._apply(fn, recurse)
        for teacher in self._teacher:
            device = fn(next(teacher.parameters()).detach()[:0]).device
            teacher.to(device)
        return self


def _features(network: nn.Module, image: torch.Tensor) -> Features:
    return network.features(image)  # type: ignore[operator]


def _with_heads(features: Features, heads: nn.ModuleDict) -> Features:
    for name, head in heads.items():
        result = head(*(features[wanted] for wanted in head.inputs))  # type: ignore[union-attr]
        if isinstance(result, Mapping):
            features.update({f"{name}.{part}": tensor for part, tensor in result.items()})
        else:
            features[name] = result
    return features


def _floating_dtype(argument: str, name: str | None) -> torch.dtype | None:
    dtypes = {None: None, "float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16, "auto": None}
    if name not in dtypes:
        raise ValueError(f"{argument} must be one of {', '.join(map(str, dtypes))}, got {name!r}.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "auto":
        return torch.bfloat16 if computes_in_bfloat16(device) else None
    if name == "bfloat16" and not computes_in_bfloat16(device):
        logger.warning(
            "%s is bfloat16, which this machine emulates: a step may take over ten times as long as in float32. Set it "
            "to auto, which takes bfloat16 only where it is fast, or to null.",
            argument,
        )
    return dtypes[name]


def _frozen(teacher: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    teacher = teacher.eval().requires_grad_(False)
    return teacher if dtype is None else inference_copy(teacher, dtype)
