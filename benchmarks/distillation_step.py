"""A training step of PKDR against one of the plain unimodal student: same network, same crop, same optimiser."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.measure import Row, interleave, peak_memory, print_rows
from pkdr_monai.caching import CachedTeacherBatch
from pkdr_monai.caching.teacher_outputs import EMBEDDING, PATCH_LOGITS, SOFT_TARGET
from pkdr_monai.losses import PKDRLoss
from pkdr_monai.networks import Distiller, PatchSelectionHead, PatchVNet, Projector
from pkdr_monai.system import computes_in_bfloat16, keep_freed_memory

__all__ = ["distiller", "extra", "run", "step"]

BATCH, SIDE = 2, 64
TEMPERATURE = 10.0
CHANNELS = [2]  # the student sees T2
BFLOAT16 = 2.0**-7  # two neighbours in bfloat16 are so far apart, relative to their size


class TeacherWithGraph(nn.Module):
    """The mistake that the Distiller rules out: a teacher that runs with autograd on."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher, self.student, heads = networks()
        self.heads = nn.ModuleDict(heads)

    def forward(self, image: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
        """Return what the Distiller would."""
        teacher, student = self.teacher.features(image), self.student.features(image[:, CHANNELS])
        student["patch_logits"] = self.heads["patch_logits"](student["embedding"])
        for features in (teacher, student):
            features["projection"] = self.heads["projection"](features["embedding"])
        return {"student": student, "teacher": teacher}


def networks() -> tuple[PatchVNet, PatchVNet, dict[str, nn.Module]]:
    """Return the paper's teacher and student at full width, and the heads."""
    torch.manual_seed(0)
    teacher, student = PatchVNet(in_channels=4, patch_head=True), PatchVNet(in_channels=1)
    image, _ = batch()
    _see(teacher, image)
    _see(student, image[:, CHANNELS])
    width = student.embedding_channels
    return teacher, student, {"patch_logits": PatchSelectionHead(width), "projection": Projector(width)}


def distiller(teacher_dtype: str | None = None, cached: bool = False) -> Distiller:
    """Return teacher and student side by side, or a student whose teacher was asked before."""
    teacher, student, heads = networks()
    shared = {"projection": heads["projection"]}
    if cached:
        return Distiller(student, None, CHANNELS, heads, shared, teacher_cached=True)
    return Distiller(student, teacher, CHANNELS, heads, shared, teacher_dtype=teacher_dtype)


def cached_batch(image: torch.Tensor, label: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what the cache gives for a batch."""
    with torch.no_grad():
        features = distiller().teacher.eval().features(image)  # type: ignore[union-attr, operator]
    return {
        "image": image,
        "label": label,
        SOFT_TARGET: (torch.sigmoid(features["logits"] / TEMPERATURE) * 255).round().to(torch.uint8),
        PATCH_LOGITS: features["patch_logits"].half(),
        EMBEDDING: features["embedding"].half(),
    }


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and a label with tumour in some of the patches."""
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(BATCH, 4, SIDE, SIDE, SIDE, generator=generator)
    label = torch.zeros(BATCH, 3, SIDE, SIDE, SIDE)
    label[:, :, 10:30, 20:40, 20:50] = 1
    return image, label


def step(kind: str) -> Callable[[], object]:
    """Return one training step: forward, loss, backward, Adam."""
    network: nn.Module = {
        "unimodal": lambda: Distiller(networks()[1], channels=CHANNELS),
        "pkdr": distiller,
        "bfloat16": lambda: distiller("bfloat16"),
        "graph": TeacherWithGraph,
        "cached": lambda: distiller(cached=True),
    }[kind]()
    network.train()
    loss = PKDRLoss(alpha=0, beta=0) if kind == "unimodal" else PKDRLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-5, fused=True)
    image, label = batch()
    given = cached_batch(image, label) if kind == "cached" else {}
    prepare = CachedTeacherBatch(TEMPERATURE)

    def call() -> None:
        teacher = prepare(given, "cpu")[3] if given else {}
        optimizer.zero_grad()
        loss(network(image, **teacher), label).backward()
        optimizer.step()

    return call


def extra(kind: str) -> Callable[[], object]:
    """Return what follows the networks: heads, patch labels and losses, with their gradients."""
    inner = distiller()
    image, label = batch()
    with torch.no_grad():
        prediction = inner.eval()(image)
    outputs = {name: prediction["student"][name].requires_grad_() for name in ("logits", "embedding")}
    loss = PKDRLoss(alpha=0, beta=0) if kind == "unimodal" else PKDRLoss()

    def call() -> None:
        student, teacher = dict(outputs), dict(prediction["teacher"])
        if kind != "unimodal":
            for name, head in inner.student_heads.items():
                student[name] = head(outputs["embedding"])
            teacher["projection"] = inner.teacher_heads["projection"](teacher["embedding"])
        loss({"student": student, "teacher": teacher}, label).backward()

    return call


def _see(network: nn.Module, image: torch.Tensor) -> None:
    """Let the batch norms take their statistics from an image, without which eval mode computes next to nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(image)


def run(rounds: int) -> None:
    """Measure and print."""
    keep_freed_memory()
    low = computes_in_bfloat16()
    kinds = ("unimodal", "pkdr", *(["bfloat16"] if low else []), "cached", "graph")
    steps = {kind: step(kind) for kind in kinds}
    timings = interleave(steps, rounds)
    unimodal, pkdr, graph = (peak_memory(step, kind) for kind in ("unimodal", "pkdr", "graph"))
    after = interleave({kind: extra(kind) for kind in ("unimodal", "pkdr")}, rounds)
    added = after.median("pkdr") - after.median("unimodal")
    rows = [
        Row.of_ratio("time, all in float32", timings, "pkdr", "unimodal", 1.36),
        *([Row.of_ratio("time, teacher in bfloat16", timings, "bfloat16", "unimodal", 1.18)] if low else []),
        Row.of_ratio("time, teacher cached", timings, "cached", "unimodal", 1.05),
        Row.of_ratio("time, if the teacher kept its graph", timings, "graph", "unimodal"),
        Row("time of heads, labels and losses", added / timings.median("unimodal"), 0.03, "x", f"{added:.3g} s"),
        Row("peak memory", pkdr / unimodal, 1.20, "x", f"{pkdr:.0f} MB / {unimodal:.0f} MB"),
        Row("peak memory, if the teacher kept its graph", graph / unimodal, None, "x", f"{graph:.0f} MB"),
    ]
    print_rows(f"A PKDR step / a unimodal step, {BATCH} x {SIDE} x {SIDE} x {SIDE}", rows)
    if low:
        print_rows("A teacher in bfloat16: relative difference to float32", _differences())
    else:
        print("\nA teacher in bfloat16: not measured, this processor does not compute in it.")


def _differences() -> list[Row]:
    image, label = batch()
    outputs, parts = [], []
    for dtype in (None, "bfloat16"):
        loss = PKDRLoss()
        with torch.no_grad():
            prediction = distiller(dtype).eval()(image)
            loss(prediction, label)
        outputs.append(prediction["teacher"])
        parts.append(loss.parts)
    rows = []
    for name in ("pixel_kd", "patch_kd", "patch_contrastive"):
        exact, rounded = (part[name].item() for part in parts)
        rows.append(Row(f"loss: {name}", abs(rounded / exact - 1), BFLOAT16))
    for name in ("logits", "patch_logits", "embedding"):
        exact_output, rounded_output = (output[name] for output in outputs)
        difference = (rounded_output - exact_output).norm() / exact_output.norm()
        rows.append(Row(f"output: {name}, root mean square", difference.item()))
    return rows
