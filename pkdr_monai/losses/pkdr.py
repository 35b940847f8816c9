"""Eq. 9: everything the student learns from, in one weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor
from torch.nn.modules.loss import _Loss

from pkdr_monai.losses.base import DistillationLoss, Prediction, at_least_float32, check_weight, missing
from pkdr_monai.losses.patch_contrastive import PatchContrastiveLoss
from pkdr_monai.losses.patch_kd import PatchKDLoss
from pkdr_monai.losses.patch_selection import PatchSelectionLoss, patch_labels
from pkdr_monai.losses.pixel_kd import PixelKDLoss
from pkdr_monai.losses.segmentation import SegmentationLoss

__all__ = ["PKDRLoss"]

NEEDS: dict[str, tuple[tuple[str, str], ...]] = {
    "segmentation": (("student", "logits"),),
    "patch_selection": (("student", "patch_logits"),),
    "pixel_kd": (("student", "logits"), ("teacher", "logits")),
    "patch_kd": (("student", "patch_logits"), ("teacher", "patch_logits")),
    "patch_contrastive": (("student", "projection"), ("teacher", "projection")),
    "decoder_hint": (("student", "decoder_hint"), ("teacher", "decoder_feature")),
}
"""The terms in the order of the paper, then the one of ours, and the tensors of a prediction that each needs."""

REMEDY: dict[tuple[str, str], str] = {
    ("student", "logits"): "Let the prediction hold the network's output",
    ("student", "patch_logits"): "Give the student a patch-selection head",
    ("student", "projection"): "Give the student the projector as a head",
    ("teacher", "logits"): "Train beside a teacher",
    ("teacher", "patch_logits"): "Take a teacher that has a patch-selection head",
    ("teacher", "projection"): "Give the teacher the projector as a head",
    ("student", "decoder_hint"): "Give the student a DecoderHintHead as a head of that name",
    ("teacher", "decoder_feature"): "Name it in the Distiller's teacher_outputs",
}


class PKDRLoss(DistillationLoss):
    r"""Train a student on the labels and on its teacher: the whole loss of the method.

    .. math::
        L = L_{seg} + \alpha L_{ps} + \beta (L_{kd} + L_{pskd} + L_{cont})

    (Eq. 9). A term whose weight is 0 or that ``without`` names is not computed and its tensors may be missing, so this
    is also the loss of the methods around the paper's own: ``alpha=0, beta=0`` trains the plain unimodal student,
    ``alpha=1, beta=0`` pretrains the teacher, and ``without`` gives the rows of Table 3.

    The teacher is asked only where it sees all of its modalities: where a prediction says so, samples that lack one add
    to the first two terms alone. A distillation term is then its mean over the complete samples, times their share of
    the batch, so that each sample weighs the same whichever others it meets.

    Args:
        alpha: weight of the patch-selection loss, 0 or more.
        beta: common weight of the three distillation losses, 0 or more.
        segmentation: loss for Eq. 8; ``None`` means :class:`~pkdr_monai.losses.SegmentationLoss` with its defaults.
        patch_selection: loss for Eq. 4; it also says the patch size. ``None`` means its defaults, here and below.
        pixel_kd: loss for Eq. 5.
        patch_kd: loss for Eq. 6.
        patch_contrastive: loss for Eq. 7.
        decoder_hint: a further distillation loss, not of the paper: see
            :class:`~pkdr_monai.losses.DecoderHintLoss`. Its weight is ``beta``, too. ``None`` for none.
        without: names of terms to leave out, among ``segmentation``, ``patch_selection``, ``pixel_kd``, ``patch_kd``,
            ``patch_contrastive`` and ``decoder_hint``.

    Attributes:
        weights: the weight of each term that takes part, by name.
        parts: after a call, the value of each term computed, before its weight: scalars without gradient, by name.

    Raises:
        ValueError: when a weight is negative or not finite, a name is unknown, or no term is left.

    Example:
        >>> import torch
        >>> label = torch.zeros(1, 3, 32, 32, 32)
        >>> label[..., :9] = 1
        >>> output = {
        ...     "logits": torch.zeros(1, 3, 32, 32, 32),
        ...     "patch_logits": torch.zeros(1, 3, 2, 2, 2),
        ...     "projection": torch.ones(1, 128, 2, 2, 2),
        ... }
        >>> loss = PKDRLoss()
        >>> f"{loss({'student': output, 'teacher': output}, label):.3f}"
        '8.531'
        >>> {name: f"{value:.3f}" for name, value in loss.parts.items()}  # doctest: +NORMALIZE_WHITESPACE
        {'segmentation': '3.491', 'patch_selection': '3.079', 'pixel_kd': '2.079', 'patch_kd': '2.079',
         'patch_contrastive': '1.609'}
    """

    def __init__(
        self,
        alpha: float = 0.7,
        beta: float = 0.5,
        *,
        segmentation: _Loss | None = None,
        patch_selection: PatchSelectionLoss | None = None,
        pixel_kd: _Loss | None = None,
        patch_kd: _Loss | None = None,
        patch_contrastive: _Loss | None = None,
        decoder_hint: _Loss | None = None,
        without: Collection[str] = (),
    ) -> None:
        super().__init__(_weights(alpha, beta, without, hint=decoder_hint is not None))
        self.segmentation = segmentation or SegmentationLoss()
        self.patch_selection = patch_selection or PatchSelectionLoss()
        self.pixel_kd = pixel_kd or PixelKDLoss()
        self.patch_kd = patch_kd or PatchKDLoss()
        self.patch_contrastive = patch_contrastive or PatchContrastiveLoss()
        self.decoder_hint = decoder_hint

    def forward(self, prediction: Prediction, label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its parts in :attr:`parts`.

        Args:
            prediction: ``{"student": ..., "teacher": ...}``, each with ``"logits"`` ``(B, C, X, Y, Z)``,
                ``"patch_logits"`` ``(B, C, X/P, Y/P, Z/P)`` and ``"projection"`` ``(B, D, X/P, Y/P, Z/P)``.
                The teacher's may hold ``"complete"`` ``(B,)``, bool: which samples it teaches on; all by default.
            label: 1 inside a region and 0 outside, ``(B, C, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing that a term needs, or shapes do not fit.
        """
        _check_complete(prediction, self.weights)
        student, teacher = prediction.get("student", {}), prediction.get("teacher", {})
        complete = teacher.get("complete")  # (B,)
        if "patch_selection" in self.weights or "patch_contrastive" in self.weights:
            patch_label = patch_labels(label, self.patch_selection.patch_size)  # (B, C, X/P, Y/P, Z/P)
            foreground = patch_label.amax(1, keepdim=True)  # (B, 1, X/P, Y/P, Z/P), tumour of any kind
        weighted = (label,) if getattr(self.pixel_kd, "weighted", False) else ()
        compute: dict[str, Callable[[], Tensor]] = {
            "segmentation": lambda: self.segmentation(student["logits"], label),
            "patch_selection": lambda: self.patch_selection(student["patch_logits"], label, patch_label),
            "pixel_kd": lambda: _taught(self.pixel_kd, complete, student["logits"], teacher["logits"], *weighted),
            "patch_kd": lambda: _taught(self.patch_kd, complete, student["patch_logits"], teacher["patch_logits"]),
            "patch_contrastive": lambda: _taught(
                self.patch_contrastive, complete, student["projection"], teacher["projection"], foreground
            ),
        }
        if (hint := self.decoder_hint) is not None:
            compute["decoder_hint"] = lambda: _taught(
                hint, complete, student["decoder_hint"], teacher["decoder_feature"]
            )
        return self.weighted_sum(compute)


def _taught(loss: _Loss, complete: Tensor | None, student: Tensor, *others: Tensor) -> Tensor:
    """Return a distillation term of the samples that are complete, times their share of the batch."""
    if complete is None:
        return loss(student, *others)
    if not complete.any():
        return at_least_float32(student[:0]).sum()  # 0, with a gradient of 0
    return complete.float().mean() * loss(student[complete], *(tensor[complete] for tensor in others))


def _weights(alpha: float, beta: float, without: Collection[str], *, hint: bool) -> dict[str, float]:
    """Return the weight of each term that takes part."""
    check_weight("PKDRLoss", alpha=alpha)
    check_weight("PKDRLoss", beta=beta)
    without = {without} if isinstance(without, str) else set(without)
    unknown = sorted(without - set(NEEDS))
    if unknown:
        raise ValueError(f"PKDRLoss has no term {unknown[0]!r} to leave out: its terms are {', '.join(NEEDS)}.")
    full = dict(zip(NEEDS, (1.0, alpha, beta, beta, beta, beta), strict=True))
    if not hint:
        without.add("decoder_hint")
    weights = {name: weight for name, weight in full.items() if weight and name not in without}
    if not weights:
        raise ValueError("PKDRLoss has no term left: keep one, or give it a weight (alpha, beta) above 0.")
    return weights


def _check_complete(prediction: Prediction, weights: Mapping[str, float]) -> None:
    for term in weights:
        for network, output in NEEDS[term]:
            if prediction.get(network, {}).get(output) is None:
                remedy = f"{REMEDY[network, output]}, or leave the term out: without=({term!r},)."
                raise missing("PKDRLoss", prediction, network, output, remedy, term)
