"""The losses alone: contrastive at three sizes, patch labels, and distillation at full resolution."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.measure import Row, available_memory, interleave, peak_memory, print_rows
from benchmarks.reference import literal_pixel_kd, looped_contrastive, looped_patch_labels, masked_contrastive
from pkdr_monai.losses import PatchContrastiveLoss, PixelKDLoss, patch_labels

__all__ = ["contrastive", "labels", "pixel", "run"]

CROP = (4, 3, 96, 128, 128)  # the paper's batch and crop
PLAIN_NEEDS = 14_000  # megabytes that the masked form takes at 24576 patches, with a margin


def contrastive(form: str, batch: int, patches: int) -> Callable[[], object]:
    """Return the loss and its gradients for random vectors of 128 features, 10 % of them foreground."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (
        torch.randn(batch, 128, patches, generator=generator, requires_grad=True) for _ in ("student", "teacher")
    )
    patch_label = (torch.rand(batch, 1, patches, generator=generator) < 0.1).float()
    loss = PatchContrastiveLoss(temperature=0.1)
    forms: dict[str, Callable[[], torch.Tensor]] = {
        "package": lambda: loss(student, teacher, patch_label),
        "masked": lambda: masked_contrastive(student, teacher, patch_label, 0.1),
        "loop": lambda: looped_contrastive(student, teacher, patch_label, 0.1),
    }
    return lambda: torch.autograd.grad(forms[form](), (student, teacher))


def labels(form: str) -> Callable[[], object]:
    """Return the patch labels of a batch of crops with a ball of tumour."""
    x, y, z = (torch.linspace(-1, 1, side).square() for side in CROP[2:])
    label = (x[:, None, None] + y[:, None] + z < 0.2).float().expand(CROP).contiguous()
    return lambda: (patch_labels if form == "package" else looped_patch_labels)(label, 16)


def pixel(form: str) -> Callable[[], object]:
    """Return the distillation loss of a batch of crops and its gradient."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(CROP, generator=generator) for _ in ("student", "teacher"))
    student.requires_grad_()
    loss = PixelKDLoss(temperature=10.0)
    forms: dict[str, Callable[[], torch.Tensor]] = {
        "package": lambda: loss(student, teacher),
        "literal": lambda: literal_pixel_kd(student, teacher, 10.0),
    }
    return lambda: torch.autograd.grad(forms[form](), student)


def run(rounds: int) -> None:
    """Measure and print."""
    print_rows("Contrastive loss, forward and backward", [*_paper_size(rounds), *_large(rounds), *_huge()])
    forms = {form: labels(form) for form in ("package", "loop")}
    timings = interleave(forms, rounds)
    print_rows("Patch labels", [Row.of_ratio("time / loop over patches", timings, "package", "loop", 0.35)])
    print_rows("Pixel distillation of 4 x 3 x 96 x 128 x 128, forward and backward", _pixel_rows(rounds))


def _paper_size(rounds: int) -> list[Row]:
    timings = interleave({form: contrastive(form, 4, 384) for form in ("package", "loop")}, rounds)
    return [Row.of_ratio("4 x 384 patches: time / loop over anchors", timings, "package", "loop", 0.02)]


def _large(rounds: int) -> list[Row]:
    timings = interleave({form: contrastive(form, 4, 3072) for form in ("package", "masked")}, rounds)
    return [
        Row.of_ratio("4 x 3072 patches: time / masked matrix", timings, "package", "masked", 0.15),
        Row("4 x 3072 patches: peak memory", peak_memory(contrastive, "package", 4, 3072), 50, "MB"),
        Row("4 x 3072 patches: peak memory, masked matrix", peak_memory(contrastive, "masked", 4, 3072), unit="MB"),
    ]


def _huge() -> list[Row]:
    rows = [Row("1 x 24576 patches: peak memory", peak_memory(contrastive, "package", 1, 24576), 300, "MB")]
    if available_memory() < PLAIN_NEEDS:
        print(f"1 x 24576 patches: the masked matrix wants {PLAIN_NEEDS} MB, so it is left out here.")
        return rows
    timings = interleave({form: contrastive(form, 1, 24576) for form in ("package", "masked")}, 3, warmup=False)
    masked = peak_memory(contrastive, "masked", 1, 24576, warmup=False)
    return [
        Row.of_ratio("1 x 24576 patches: time / masked matrix", timings, "package", "masked", 0.10),
        *rows,
        Row("1 x 24576 patches: peak memory, masked matrix", masked, unit="MB"),
    ]


def _pixel_rows(rounds: int) -> list[Row]:
    timings = interleave({form: pixel(form) for form in ("package", "literal")}, rounds)
    package, literal = (peak_memory(pixel, form) for form in ("package", "literal"))
    return [
        Row.of_ratio("time / sigmoid, then cross-entropy", timings, "package", "literal", 0.5),
        Row("peak memory / the same", package / literal, 0.5, "x", f"{package:.0f} MB / {literal:.0f} MB"),
    ]
