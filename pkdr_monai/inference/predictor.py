"""How to segment, and from one scan to the probabilities of its regions on its own grid; nothing is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.transforms import Compose, Invertd

from pkdr_monai.data.geometry import require_geometry
from pkdr_monai.data.preprocessing import IMAGE, preprocessing
from pkdr_monai.errors import InputError
from pkdr_monai.inference.backends import Backend, Engine, TorchBackend, open_export
from pkdr_monai.inference.scans import Scan
from pkdr_monai.modalities import channel_indices
from pkdr_monai.networks import load_model
from pkdr_monai.networks.blocks import STRIDE
from pkdr_monai.regions import check_et_rule, nested_regions, scheme_labels
from pkdr_monai.runs.model_card import ModelCard

__all__ = ["Predictor", "Settings", "aligned_overlap", "brain_probabilities", "load_predictor", "scan_probabilities"]

CHOICES = {
    "use": ("best", "all"),
    "blend": ("constant", "gaussian"),
    "precision": ("auto", "float32", "bfloat16"),
    "backend": ("auto", "torch", "onnx", "openvino"),
}

LATER = ("et_rule", "strict")
"""Settings that came after others, and are off unless somebody asks for them."""
AXES = (2, 3, 4)  # X, Y, Z of (1, M, X, Y, Z)
FLIPS = tuple(axes for count in range(4) for axes in combinations(AXES, count))  # none first, eight in all


@dataclass(frozen=True)
class Settings:
    """How to segment a scan.

    Args:
        use: ``"best"``: the model that sees all modalities at hand, else the one with the best Dice in its own
            evaluation; ``"all"``: the mean of the probabilities of all students.
        fast: the whole brain in one pass, without a sliding window. It needs more memory and sees a voxel at a window's
            border with more around it, so that the result differs a little.
        flips: the mean over all eight mirror images of the scan, for eight times the time.
        window_overlap: part of a window that the next one covers, from 0 to below 1; rounded so that windows start at
            whole patches.
        blend: how windows that overlap are averaged, ``"constant"`` or ``"gaussian"``, which trusts their middles more.
        precision: ``"bfloat16"``, ``"float32"``, or ``"auto"``: bfloat16 where the processor computes in it.
        backend: what computes the network, ``"torch"``, ``"onnx"``, ``"openvino"``, or ``"auto"``: the fastest whose
            result was checked; see :func:`~pkdr_monai.inference.backends.choose_engine`.
        label_scheme: label values to write; ``None`` for those that the model learnt from.
        min_component: connected pieces of a region smaller than this are removed, in mL; 0 removes nothing.
        et_rule: an enhancing tumour of fewer mm³ than this becomes necrosis; 0 leaves it. Probabilities stay.
        save_probabilities: write the probability of each region.
        uncertainty: write the entropy of each region's probability.
        force: segment a scan that does not look like a whole, skull-stripped brain.
        strict: refuse an image that looks like another modality than it is given as, or whose sidecar says that it is.
        geometry: which affine of the header to use, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

    Raises:
        InputError: when a value is out of its range.

    Example:
        >>> Settings(fast=True).blend
        'constant'
    """

    use: str = "best"
    fast: bool = False
    flips: bool = False
    window_overlap: float = 0.5
    blend: str = "constant"
    precision: str = "auto"
    backend: str = "auto"
    label_scheme: str | None = None
    min_component: float = 0.0
    et_rule: float = 0.0
    save_probabilities: bool = False
    uncertainty: bool = False
    force: bool = False
    strict: bool = False
    geometry: str = "header"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"unknown {name} {getattr(self, name)!r}: choose among {', '.join(choices)}.")
        require_geometry(self.geometry)
        if not 0 <= self.window_overlap < 1:
            raise InputError(f"window_overlap is from 0 to below 1, got {self.window_overlap:g}: 0.5 is usual.")
        if not 0 <= self.min_component < math.inf:
            raise InputError(f"min_component is a volume in mL, 0 or more, got {self.min_component:g}.")
        check_et_rule(self.et_rule)
        if self.label_scheme is not None:
            scheme_labels(self.label_scheme)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain data; those of :data:`LATER` only where they are on.

        What is hashed as a case's key is this: results from before there were such settings stay valid.
        """
        return {name: value for name, value in asdict(self).items() if value or name not in LATER}


@torch.inference_mode()
def brain_probabilities(
    image: torch.Tensor, backend: Backend, roi_size: Sequence[int], settings: Settings
) -> torch.Tensor:
    """Return the probability of each region in a brain's box.

    Args:
        image: preprocessed image, ``(M, X, Y, Z)`` with sides that 16 divides.
        backend: the network.
        roi_size: window that it was trained on.
        settings: whether to take windows, and mirror images.

    Returns:
        Probabilities of TC, WT and ET, ``(3, X, Y, Z)``; of mirror images the mean.

    Example:
        >>> constant = lambda image: torch.zeros(1, 3, *image.shape[2:])
        >>> settings = Settings(flips=True)
        >>> probabilities = brain_probabilities(torch.zeros(1, 32, 16, 16), constant, (16, 16, 16), settings)
        >>> tuple(probabilities.shape), float(probabilities.max())
        ((3, 32, 16, 16), 0.5)
    """
    batch = image.unsqueeze(0)
    infer = backend if settings.fast else _windows(backend, roi_size, settings)
    total = torch.zeros(())
    flips = FLIPS if settings.flips else FLIPS[:1]
    for axes in flips:
        total = total + infer(batch.flip(axes)).sigmoid().flip(axes)
    return (total / len(flips))[0]


def aligned_overlap(roi_size: Sequence[int], overlap: float) -> tuple[float, ...]:
    """Return an overlap near the one wanted, by axis, with which every window starts at a whole patch.

    The steps between windows are rounded down to multiples of 16, so that windows cover each other at least as wanted
    and the network's grid of patches is one for the whole brain.

    Example:
        >>> [round(part, 2) for part in aligned_overlap((128, 128, 96), 0.25)]
        [0.25, 0.25, 0.33]
    """
    steps = [max(STRIDE, int(side * (1 - overlap)) // STRIDE * STRIDE) for side in roi_size]
    # MONAI takes the whole part of side * (1 - overlap): aim half a voxel beyond the step, not at it
    return tuple(max(0.0, 1 - (step + 0.5) / side) for side, step in zip(roi_size, steps, strict=True))


def _windows(backend: Backend, roi_size: Sequence[int], settings: Settings) -> Backend:
    overlap = aligned_overlap(roi_size, settings.window_overlap)
    inferer = SlidingWindowInferer(roi_size, overlap=overlap, mode=settings.blend)

    def infer(image: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(inferer(image, backend))

    return infer


@dataclass(frozen=True)
class Predictor:
    """A model that is ready to run.

    Args:
        card: what it says of itself.
        backend: its network.
    """

    card: ModelCard
    backend: Backend

    @torch.inference_mode()
    def probabilities(self, scan: Scan, settings: Settings) -> torch.Tensor:
        """Return the probability of TC, WT and ET in each voxel of the scan's own grid, ``(3, X, Y, Z)``, float32."""
        transform = preprocessing(self.card.spacing, inference=True)
        data = transform(scan.item(self.card.modalities))
        image: MetaTensor = data[IMAGE]
        data["pred"] = brain_probabilities(image.as_tensor(), self.backend, self.card.roi_size, settings)
        return _on_own_grid(data, transform)


def load_predictor(card: ModelCard, engine: Engine, device: torch.device | str = "cpu") -> Predictor:
    """Open a model in the engine that computes it.

    Args:
        card: the model's card, read from a disk.
        engine: as :func:`~pkdr_monai.inference.backends.choose_engine` chose it.
        device: where to compute.

    Raises:
        InputError: when the weights are absent, damaged, or not those that the card describes.
    """
    if engine.path is None:
        return Predictor(card, TorchBackend(load_model(card), engine.precision, device))
    export = open_export(engine.backend, engine.path)
    return Predictor(card, _with_zeros(export, card) if card.any_subset else export)


def scan_probabilities(scan: Scan, predictors: Sequence[Predictor], settings: Settings) -> torch.Tensor:
    """Return the mean of the models' probabilities, made nested: ET within TC within WT.

    A region's probability is raised to that of the region within it. At any threshold this gives the label map in which
    the smaller region wins, as the bundle's own.

    Args:
        scan: a scan that :func:`~pkdr_monai.inference.scans.check_scan` accepted.
        predictors: one model or several.
        settings: how to run them.

    Returns:
        Probabilities of TC, WT and ET on the scan's grid, ``(3, X, Y, Z)``, float32.
    """
    total = predictors[0].probabilities(scan, settings)
    for predictor in predictors[1:]:
        total = total + predictor.probabilities(scan, settings)
    return nested_regions(total / len(predictors))


def _with_zeros(export: Backend, card: ModelCard) -> Backend:
    """Return an exported network for any subset, which sees all modalities, as one that sees those of the card."""
    known = card.network["modalities"]
    slots = list(channel_indices(card.modalities, known))

    def run(image: torch.Tensor) -> torch.Tensor:
        full = image.new_zeros(image.shape[0], len(known), *image.shape[2:])
        full[:, slots] = image
        return export(full)

    return run


def _on_own_grid(data: Mapping[str, Any], transform: Compose) -> torch.Tensor:
    """Undo the preprocessing as the bundle does, a region at a time, since it computes in float64."""
    image, pred = data[IMAGE], data["pred"]
    regions = []
    for channel in range(pred.shape[0]):
        invert = Invertd("pred", transform=transform, orig_keys=IMAGE, nearest_interp=False)
        regions.append(invert({IMAGE: image, "pred": MetaTensor(pred[channel : channel + 1])})["pred"].as_tensor())
    return torch.cat(regions).float()
