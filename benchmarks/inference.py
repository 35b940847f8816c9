"""A scan of BraTS's size through the network: MONAI's sliding window, the default here, and ``--fast``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import CropForeground, NormalizeIntensity
from torch import nn

from benchmarks.measure import Row, Timings, interleave, peak_memory, print_rows
from pkdr_monai.inference.backends import Backend, TorchBackend
from pkdr_monai.inference.predictor import Settings, brain_probabilities
from pkdr_monai.losses import SegmentationLoss
from pkdr_monai.networks import PatchVNet
from pkdr_monai.phantom import make_case
from pkdr_monai.regions import REGIONS, label_to_regions
from pkdr_monai.system import keep_freed_memory

__all__ = ["dice", "forms", "run", "segmenter", "sliding_window"]

ROI = (128, 128, 96)
SEED = 32  # a high-grade case with all three regions
STEPS, SIDE = 60, 64  # of the fit, on crops of one case: enough for regions of some shape, not for quality
MOST_ROUNDS = 2  # a round takes about half a minute on two cores
GOALS = {"default": 0.45, "fast": 0.08}  # of the time of MONAI's sliding window
DISAGREEMENT = 0.005  # 1 - Dice
PEAK = 1200  # MB


def scan() -> tuple[torch.Tensor, torch.Tensor]:
    """Return a synthetic FLAIR of 240 x 240 x 155 voxels, normalised, ``(1, X, Y, Z)``, and its regions."""
    case = make_case(SEED, grade="HGG")
    image = torch.from_numpy(case.images["flair"].astype("float32"))[None]
    normalised = NormalizeIntensity(nonzero=True, channel_wise=True)(image)
    return torch.as_tensor(normalised), label_to_regions(torch.from_numpy(case.label))


def fit(image: torch.Tensor, label: torch.Tensor) -> PatchVNet:
    """Return the student, trained for a minute on crops of one case, so that there is something to agree about."""
    torch.manual_seed(0)
    network = PatchVNet(in_channels=1).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, fused=True)
    loss = SegmentationLoss()
    tumour = torch.nonzero(label[1])
    for step in range(STEPS):
        if step == STEPS // 2:
            _average_statistics(network)
        crop = _crop(tumour[int(torch.randint(len(tumour), ()))] if step % 2 else None, label.shape[1:])
        optimizer.zero_grad()
        loss(network(image[crop][None]), label[crop][None]).backward()
        optimizer.step()
    return network.eval()


def _average_statistics(network: PatchVNet) -> None:
    """Let the batch norms average over all crops from here on, in place of forgetting them: there are few."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.reset_running_stats()
            module.momentum = None


def _crop(centre: torch.Tensor | None, shape: torch.Size) -> tuple[slice, ...]:
    """Return a crop around a voxel, or anywhere."""
    corners = [int(torch.randint(size - SIDE + 1, ())) for size in shape]
    if centre is not None:
        shifted = [int(at) - SIDE // 2 + int(torch.randint(-SIDE // 4, SIDE // 4, ())) for at in centre]
        corners = [min(max(at, 0), size - SIDE) for at, size in zip(shifted, shape, strict=True)]
    return (slice(None), *(slice(corner, corner + SIDE) for corner in corners))


def forms(
    network: nn.Module, image: torch.Tensor, roi_size: Sequence[int] = ROI, backend: Backend | None = None
) -> dict[str, Callable[[], torch.Tensor]]:
    """Return what is compared: each a call that returns probabilities on the whole grid, ``(3, X, Y, Z)``."""
    crop = CropForeground(k_divisible=16, return_coords=True)
    box, start, end = crop(image)
    box = torch.as_tensor(box)
    inside = (slice(None), *(slice(max(int(low), 0), int(high)) for low, high in zip(start, end, strict=True)))
    padding = [max(-int(low), 0) for low in start]
    backend = backend or TorchBackend(network)

    def boxed(settings: Settings, compute: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], torch.Tensor]:
        def call() -> torch.Tensor:
            whole = torch.zeros(len(REGIONS), *image.shape[1:])
            target = whole[inside]
            part = brain_probabilities(box, compute, roi_size, settings)
            cut = (slice(None), *(slice(at, at + size) for at, size in zip(padding, target.shape[1:], strict=True)))
            target.copy_(part[cut])
            return whole

        return call

    return {
        "monai": sliding_window(network, image, roi_size),
        "default": boxed(Settings(), backend),
        "fast": boxed(Settings(fast=True), backend),
        "exact": boxed(Settings(), network),
    }


def sliding_window(
    network: nn.Module, image: torch.Tensor, roi_size: Sequence[int], overlap: float = 0.25
) -> Callable[[], torch.Tensor]:
    """Return MONAI's sliding window over the whole volume, in eager float32, as a call."""
    windows = SlidingWindowInferer(roi_size, overlap=overlap)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        return torch.as_tensor(windows(image[None], network)).sigmoid()[0]

    return call


def segmenter(form: str, weights: str) -> Callable[[], object]:
    """Return one of the forms in a process of its own, with the network that was fitted."""
    image, _ = scan()
    network = PatchVNet(in_channels=1).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    return forms(network, image)[form]


def run(rounds: int) -> None:
    """Measure and print."""
    keep_freed_memory()
    image, label = scan()
    network = fit(image, label)
    calls = forms(network, image)
    results: dict[str, torch.Tensor] = {}

    def kept(name: str) -> Callable[[], object]:
        return lambda: results.__setitem__(name, calls[name]() >= 0.5)

    timed = {name: kept(name) for name in ("monai", "default", "fast")}
    timings = interleave(timed, min(rounds, MOST_ROUNDS), warmup=False)
    kept("exact")()
    precision = TorchBackend(network).precision
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder, "model.pt"))
        torch.save(network.state_dict(), weights)
        peaks = {name: peak_memory(segmenter, name, weights, warmup=False) for name in timed}
    print_rows(f"Segmenting 240 x 240 x 155, {precision}", [*_rows(timings, peaks), *_agreement(results, label)])


def _rows(timings: Timings, peaks: dict[str, float]) -> list[Row]:
    rows = []
    for name, goal in GOALS.items():
        rows.append(Row.of_ratio(f"{name}: time / MONAI's sliding window in float32", timings, name, "monai", goal))
    for name, peak in peaks.items():
        rows.append(Row(f"{name}: peak memory", peak, None if name == "monai" else PEAK, "MB"))
    return rows


def _agreement(results: dict[str, torch.Tensor], label: torch.Tensor) -> list[Row]:
    rows = []
    for name, other, what, goal in (
        ("default", "exact", "default: 1 - Dice to the same windows in float32", DISAGREEMENT),
        ("default", "monai", "default: 1 - Dice to MONAI's sliding window", DISAGREEMENT),
        ("fast", "monai", "fast: 1 - Dice to MONAI's sliding window", None),
    ):
        for channel, region in enumerate(REGIONS):
            value = 1 - dice(results[name][channel], results[other][channel])
            truths = [dice(results[each][channel], label[channel] > 0) for each in (name, other)]
            rows.append(
                Row(f"{what}, {region.upper()}", value, goal, note="Dice to the truth {:.3f}, {:.3f}".format(*truths))
            )
    return rows


def dice(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the Dice of two masks; of two empty ones, 1."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
