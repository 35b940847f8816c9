"""One synthetic patient of the wide setting, and a data set for a training that draws new ones in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch.utils.data import Dataset

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.anatomy import draw_anatomy
from pkdr_monai.phantom.case import PhantomCase, fullest_tissue
from pkdr_monai.phantom.lattice import Array, ImageGrid, Lattice, fraction_inside
from pkdr_monai.phantom.plan import WidePlan, plan_satellites, plan_wide
from pkdr_monai.phantom.tumour import Tumour, grow_tumour
from pkdr_monai.phantom.wide_scanner import BIAS_MM, draw_contrast, draw_protocol
from pkdr_monai.regions import scheme_labels

__all__ = ["WIDE_SHAPE", "WIDE_SPACING", "WideCases", "make_wide_case", "wide_grade"]

WIDE_SHAPE = (96, 112, 80)
WIDE_SPACING = (2.0, 2.0, 2.0)
LABELS = scheme_labels("brats2018")
TUMOUR = ("oedema", "enhancing", "nonenhancing", "necrosis", "cyst", "haemorrhage")
MARGIN_MM = 6.0  # what is drawn beyond the brain, for blur, misplacement and rinds
HEAD_SIZE = (0.93, 1.05)  # along each axis, on top of the variation of version 1
RIND, RIND_MM = 0.25, (0.5, 4.0)  # probability that skull stripping leaves a rind, and how thick
LOST, LOST_MM = 0.25, (0.5, 4.0)  # that it takes cortex away
HEALTHY_TEXTURE, TUMOUR_TEXTURE = (0.0, 0.07), (0.03, 0.22)


def make_wide_case(
    seed: int, shape: Sequence[int] = WIDE_SHAPE, spacing: Sequence[float] = WIDE_SPACING
) -> PhantomCase:
    """Make one patient of the wide setting; the same arguments give the same bytes.

    Args:
        seed: names the patient, 0 or more.
        shape: size of the images in voxels, 32 or more on each side.
        spacing: size of a voxel in millimetres.

    Returns:
        The patient; ``grade`` is ``"none"`` for a healthy head. Images are 0 outside the brain, and a modality with a
        field of view that is too small is 0 there too.

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> case = make_wide_case(seed=7, shape=(48, 48, 40), spacing=(4.0, 4.0, 4.0))
        >>> sorted(case.images), case.label.shape
        (['flair', 't1', 't1ce', 't2'], (48, 48, 40))
    """
    if seed < 0:
        raise InputError(f"expected a seed of 0 or more, got {seed}.")
    grid = ImageGrid(shape, spacing)
    streams = _streams(seed)
    plan_rng, anatomy_rng, tumour_rng, contrast_rng, texture_rng, scanner_rng, image_rng, mask_rng = streams

    lattice = Lattice()
    plan = plan_wide(plan_rng)
    anatomy = plan.aged(draw_anatomy(anatomy_rng, lattice, plan.displaced))
    foci = plan_satellites(plan_rng, lattice, anatomy, plan)
    foci = foci if plan.main is None else [plan.main, *foci]
    tumour = _merged([grow_tumour(tumour_rng, lattice, anatomy, focus) for focus in foci])
    size = mask_rng.uniform(*HEAD_SIZE, size=3)
    axes = [axis / scale for axis, scale in zip(grid.axes, size, strict=True)]
    depth = lattice.sample(anatomy.fields["brain"], axes)  # (I, J, K), the box that holds the head
    drawn = depth > -MARGIN_MM

    def sample(field: Array) -> Array:
        return lattice.sample(field, axes)[drawn]  # (N,)

    fractions = anatomy.fractions(sample, grid.voxel_mm)
    label = np.zeros(len(fractions["csf"]), dtype=np.uint8)
    if tumour is not None:
        label, fractions = tumour.invade(fractions, sample, grid.voxel_mm)
        label = _embellish(tumour_rng, lattice, plan, tumour, label, fractions, sample, grid.voxel_mm)
    kept = (depth + _stripping_error(mask_rng, lattice, axes))[drawn] > 0.0
    brain = drawn.copy()
    brain[drawn] = kept
    label = label[kept]
    images = _images(
        (contrast_rng, texture_rng, scanner_rng, image_rng), lattice, grid, axes, depth, drawn, brain, fractions
    )
    for name in ("cyst", "haemorrhage"):
        if name in fractions:
            fractions["necrosis"] = fractions.get("necrosis", 0.0) + fractions.pop(name)
    tissue = fullest_tissue({name: share[kept] for name, share in fractions.items()})
    return PhantomCase(
        images=images,
        label=grid.place(brain, label),
        tissue=grid.place(brain, tissue),
        affine=grid.affine,
        grade=_grade(plan),
        has_et=bool((label == LABELS["et"]).any()),
    )


def wide_grade(seed: int) -> str:
    """Return the grade of the patient that :func:`make_wide_case` makes, without making it.

    Args:
        seed: names the patient, 0 or more.

    Returns:
        ``"HGG"``, ``"LGG"``, or ``"none"`` for a healthy head.

    Example:
        >>> wide_grade(7) == make_wide_case(7, (32, 32, 32), (6.0, 6.0, 6.0)).grade
        True
    """
    return _grade(plan_wide(_streams(seed)[0]))


def _streams(seed: int) -> list[np.random.Generator]:
    """Return a generator for each part of a patient."""
    return [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(8)]


def _grade(plan: WidePlan) -> str:
    return "none" if plan.main is None else plan.main.grade


def _merged(foci: list[Tumour]) -> Tumour | None:
    """Return the foci as one tumour, ``None`` without any."""
    if not foci:
        return None
    merged = replace(foci[0], inside=np.clip(foci[0].inside, -12.0, 12.0))
    for focus in foci[1:]:
        nearer = focus.core > merged.core
        merged = Tumour(
            grade=merged.grade,
            core=np.maximum(merged.core, focus.core),
            inside=np.where(nearer, np.clip(focus.inside, -12.0, 12.0), merged.inside),
            oedema=np.maximum(merged.oedema, focus.oedema),
        )
    return merged


def _embellish(
    rng: np.random.Generator,
    lattice: Lattice,
    plan: WidePlan,
    tumour: Tumour,
    label: np.ndarray,
    fractions: dict[str, Array],
    sample: Callable[[Array], Array],
    voxel_mm: float,
) -> np.ndarray:
    """Put fluid, solid patches, blood and a cavity into a tumour: change ``fractions``, return the label."""
    dull = "necrosis" if tumour.grade == "HGG" else "nonenhancing"
    wavelength = float(rng.uniform(14.0, 40.0))

    def turn(source: str, target: str, share: float) -> None:
        if share == 0.0 or source not in fractions:
            return
        noise = sample(lattice.noise(rng, wavelength))
        threshold = np.quantile(noise[fractions[source] > 0.5], 1.0 - share) if (fractions[source] > 0.5).any() else 9.0
        part = fractions[source] * fraction_inside(5.0 * (noise - threshold), voxel_mm)
        fractions[source] = fractions[source] - part
        fractions[target] = fractions.get(target, 0.0) + part

    if plan.patchy and dull == "necrosis":
        turn("necrosis", "nonenhancing", plan.patchy)
    turn(dull, "cyst", plan.cyst)
    turn(dull, "haemorrhage", plan.bleeding)
    turn("enhancing", "haemorrhage", 0.3 * plan.bleeding)
    if plan.cavity and plan.main is not None:
        offsets = [axis - middle for axis, middle in zip(lattice.coordinates(), plan.main.centre, strict=True)]
        radius = plan.cavity * plan.main.radius
        ball = radius - np.sqrt(sum(offset**2 for offset in offsets)) + 0.2 * radius * lattice.noise(rng, 25.0)
        cavity = sample(ball)
        share = fraction_inside(cavity, voxel_mm) * (1.0 - fractions["csf"])
        for name in fractions:
            if name != "csf":
                fractions[name] = fractions[name] * (1.0 - share)
        fractions["csf"] = np.asarray(1.0 - sum(value for name, value in fractions.items() if name != "csf"))
        label[cavity > 0.0] = 0
    return label


def _stripping_error(rng: np.random.Generator, lattice: Lattice, axes: list[Array]) -> Array:
    """Return by how many millimetres skull stripping keeps too much (positive) or too little, ``(I, J, K)``."""
    patches = lattice.sample(lattice.noise(rng, float(rng.uniform(30.0, 90.0))), axes)
    rind = rng.uniform(*RIND_MM) * (rng.random() < RIND)
    lost = rng.uniform(*LOST_MM) * (rng.random() < LOST)
    even = rng.uniform(-0.8, 0.5)
    error = even + rind * np.clip(patches, 0.0, 1.5) - lost * np.clip(-patches, 0.0, 1.5)
    return np.minimum(error, MARGIN_MM - 1.0)


def _images(
    streams: tuple[np.random.Generator, ...],
    lattice: Lattice,
    grid: ImageGrid,
    axes: list[Array],
    depth: Array,
    drawn: np.ndarray,
    brain: np.ndarray,
    fractions: dict[str, Array],
) -> dict[str, np.ndarray]:
    """Return the four modalities."""
    contrast_rng, texture_rng, scanner_rng, image_rng = streams
    contrast = draw_contrast(contrast_rng)
    wavelengths = texture_rng.uniform(10.0, 50.0, size=3)
    textures = [lattice.sample(lattice.noise(texture_rng, float(wave)), axes)[drawn] for wave in wavelengths]
    calm, wild = texture_rng.uniform(*HEALTHY_TEXTURE), texture_rng.uniform(*TUMOUR_TEXTURE)
    bias = [lattice.sample(lattice.noise(image_rng, wave), axes) for wave in BIAS_MM]
    rind = np.clip((-depth[drawn] - 1.0) / 2.0, 0.0, 1.0)
    anchor = scanner_rng.choice(len(MODALITIES))
    cut = scanner_rng.choice(len(MODALITIES))
    images = {}
    for number, modality in enumerate(MODALITIES):
        signal = contrast[modality]
        well = sum(share * signal[name] for name, share in fractions.items() if name not in TUMOUR)
        ill = sum(share * signal[name] for name, share in fractions.items() if name in TUMOUR)
        sign = -1.0 if modality in ("t1", "t1ce") else 1.0
        own = texture_rng.normal(size=3) * (0.3, 0.6, 0.6)
        texture = (sign * 0.7 + own[0]) * textures[0] + own[1] * textures[1] + own[2] * textures[2]
        values = np.asarray(well * np.exp(calm * texture) + ill * np.exp(wild * texture))
        shell = float(np.exp(scanner_rng.uniform(np.log(0.15), np.log(1.8))))
        values = values * (1.0 - rind) + shell * rind
        full = np.full(drawn.shape, shell)
        full[drawn] = values
        protocol = draw_protocol(scanner_rng, misplaceable=number != anchor, cuttable=number == cut)
        seen = protocol.acquire(full, bias, grid.voxel, image_rng)
        picture = protocol.render(seen[brain])
        picture[_missing(axes[2], drawn, brain, protocol.cut_mm)] = 0
        images[modality] = grid.place(brain, picture)
    return images


def _missing(height: Array, drawn: np.ndarray, brain: np.ndarray, cut_mm: float) -> np.ndarray:
    """Return which voxels of brain a modality's field of view misses, bool, ``(N,)``."""
    if cut_mm == 0.0:
        return np.zeros(int(brain.sum()), dtype=bool)
    covered = height[brain.any(axis=(0, 1))]
    gone = height > covered.max() - cut_mm if cut_mm > 0.0 else height < covered.min() - cut_mm
    return np.broadcast_to(gone, drawn.shape)[brain]


class WideCases(Dataset):
    """Synthetic patients that are drawn when they are asked for, in the workers of a data loader.

    A patient depends on ``seed``, the epoch and its index alone, so that a resumed run draws what an uninterrupted one
    would. Register the data set with the trainer through :meth:`attach`, or call :meth:`set_epoch` before each epoch's
    iteration begins. The epoch lies in shared memory: persistent workers see it too.

    Args:
        cases: patients an epoch.
        seed: names the stream, 0 or more.
        shape: size of the images in voxels.
        spacing: size of a voxel in millimetres.
        transform: applied to each item.
        renew: whether each epoch draws new patients; otherwise all have those of epoch 0.

    Raises:
        InputError: when an argument is out of range.

    Example:
        >>> patients = WideCases(2, seed=0, shape=(40, 48, 36), spacing=(4.0, 4.0, 4.0))
        >>> patients.set_epoch(3)
        >>> item = patients[1]
        >>> tuple(item["image"].shape), tuple(item["label"].shape), item["image"].dtype
        ((4, 40, 48, 36), (1, 40, 48, 36), torch.float32)
    """

    def __init__(
        self,
        cases: int,
        seed: int = 0,
        shape: Sequence[int] = WIDE_SHAPE,
        spacing: Sequence[float] = WIDE_SPACING,
        transform: Callable[[dict[str, Any]], Any] | None = None,
        renew: bool = True,
    ) -> None:
        if cases < 1 or seed < 0:
            raise InputError(f"expected at least 1 case and a seed of 0 or more, got {cases} and {seed}.")
        ImageGrid(shape, spacing)  # refuses what no case could have
        self.cases = cases
        self.seed = seed
        self.shape = tuple(shape)
        self.spacing = tuple(spacing)
        self.transform = transform
        self.renew = renew
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._orient = Orientation(axcodes="RAS", labels=None)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose patients are drawn from now on, 0 or more."""
        if epoch < 0:
            raise InputError(f"expected an epoch of 0 or more, got {epoch}.")
        self._epoch.fill_(int(epoch))

    def attach(self, engine: Engine) -> None:
        """Register with the trainer, as a handler does: each epoch of it draws its own patients."""
        engine.add_event_handler(Events.EPOCH_STARTED, lambda started: self.set_epoch(started.state.epoch))

    def case_seed(self, index: int) -> int:
        """Return the seed of a patient in the present epoch."""
        epoch = int(self._epoch) if self.renew else 0
        return int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1, np.uint64)[0])

    def __len__(self) -> int:
        return self.cases

    def __getitem__(self, index: int) -> Any:
        if not -self.cases <= index < self.cases:
            raise IndexError(f"expected an index below {self.cases}, got {index}.")
        case = make_wide_case(self.case_seed(index % self.cases), self.shape, self.spacing)
        image = np.stack([case.images[modality] for modality in MODALITIES]).astype(np.float32)
        affine = torch.as_tensor(case.affine)
        item = {
            "image": self._orient(MetaTensor(torch.as_tensor(image), affine=affine)),
            "label": self._orient(MetaTensor(torch.as_tensor(case.label[None]), affine=affine)),
        }
        return item if self.transform is None else self.transform(item)
