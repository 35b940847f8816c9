"""A synthetic cohort in the layout of BraTS 2018: MR physics on a drawn head, for work where no data may be shipped.

What a modality can and cannot show is as in life: enhancing tumour hardly stands out without contrast agent, the whole
tumour shows in FLAIR and T2. docs/phantom.md describes the model and its limits.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from pkdr_monai.data.phantom_anatomy import Anatomy, draw_anatomy
from pkdr_monai.data.phantom_lattice import Array, Lattice, fraction_inside
from pkdr_monai.data.phantom_scanner import TissueMaps, draw_scanner
from pkdr_monai.data.phantom_signal import TISSUES
from pkdr_monai.data.phantom_tumour import Tumour, TumourPlan, grow_tumour, plan_tumour, resistance_mm
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write, read_json, write_json
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import LABEL_SCHEMES

__all__ = ["PhantomCase", "make_case", "write_cohort"]

SHAPE = (240, 240, 155)
SPACING = (1.0, 1.0, 1.0)
LGG_SHARE = 75 / 285


@dataclass(frozen=True)
class PhantomCase:
    images: dict[str, np.ndarray]
    label: np.ndarray
    affine: np.ndarray
    grade: str
    has_et: bool


def make_case(seed, shape=SHAPE, spacing=SPACING, grade=None) -> PhantomCase:
    streams = [np.random.Generator(np.random.PCG64(s)) for s in np.random.SeedSequence(seed).spawn(6)]
    plan_rng, anatomy_rng, tumour_rng, scanner_rng, texture_rng, noise_rng = streams
    if grade is None:
        grade = "LGG" if plan_rng.random() < LGG_SHARE else "HGG"
    lattice = Lattice()
    plan = plan_tumour(plan_rng, grade)
    anatomy = draw_anatomy(anatomy_rng, lattice, plan.displaced)
    tumour = grow_tumour(tumour_rng, lattice, anatomy, plan)
    scanner = draw_scanner(scanner_rng)

    # voxel coordinates
    brain_mm = np.array([156.0, 192.0, 150.0])
    extent = np.array(shape) * np.array(spacing)
    scale = min(1.0, float((extent / brain_mm).min()))
    voxel = np.array(spacing) / scale
    centre = np.array(shape) / 2 * np.array([1, 1, 0.93])
    coords = [(np.arange(n) + 0.5 - c) * v * s for n, c, v, s in zip(shape, centre, voxel, (-1, -1, 1), strict=True)]
    keep = [np.abs(c) < half for c, half in zip(coords, (78, 96, 78), strict=True)]
    box = tuple(slice(int(np.flatnonzero(k)[0]), int(np.flatnonzero(k)[-1]) + 1) for k in keep)
    at = [c[b] for c, b in zip(coords, box, strict=True)]
    voxel_mm = float(voxel.mean())
    brain = lattice.sample(anatomy.depths["brain"], at) > 0

    def sample(f):
        return lattice.sample(f, at)[brain]

    fr = anatomy.fractions(sample, voxel_mm)
    core = sample(tumour.core)
    inside = sample(tumour.inside)
    oed = sample(tumour.oedema) - resistance_mm(fr)
    label = np.zeros(len(core), np.uint8)
    label[oed > 0] = 2
    label[core > 0] = np.where(inside[core > 0] > 0, 1, 4)
    f_core = fraction_inside(core, voxel_mm)
    f_in = f_core * fraction_inside(inside, voxel_mm)
    f_et = f_core - f_in
    f_oed = (1 - f_core) * fraction_inside(oed, max(voxel_mm, 2.0)) * np.clip(0.45 + oed / 14.0, 0, 1)
    rest = 1 - f_core - f_oed
    fr = {k: v * rest for k, v in fr.items()}
    fr["oedema"] = f_oed
    fr["solid"] = f_et + (f_in if grade == "LGG" else 0)
    fr["necrosis"] = f_in if grade == "HGG" else 0 * f_in
    csf = fr.pop("csf")
    total = np.maximum(1 - csf, 1e-6)
    texture = [sample(lattice.noise(texture_rng, 20.0)) for _ in range(2)]
    uptake = rng_uptake = float(texture_rng.lognormal(np.log(0.18), 0.25)) * np.exp(0.3 * sample(lattice.noise(texture_rng, 16.0)))
    pd = r1 = r2 = agent = 0
    for name, f in fr.items():
        t = TISSUES[name]
        spread = 0.08 if name in ("oedema", "solid", "necrosis") else 0.03
        j = np.exp(spread * texture_rng.standard_normal(3))
        pd = pd + f * t.pd * (1 + (j[2] - 1) * 0.3)
        r1 = r1 + f / (t.t1[scanner.strong] * j[0])
        r2 = r2 + f / (t.t2[scanner.strong] * j[1])
        agent = agent + f * t.agent
    pd, r1, r2, agent = (q / total for q in (pd, r1, r2, agent))
    pd, r1, r2 = (np.where(total < 1e-3, 1.0, q) if i == 0 else np.where(total < 1e-3, 1e-3, q) for i, q in enumerate((pd, r1, r2)))
    agent = agent + f_et / total * uptake
    vary = 0.03 + 0.07 * (f_core + f_oed)
    t1 = np.exp(vary * texture[0]) / r1
    t2 = np.exp(vary * (0.6 * texture[0] + 0.8 * texture[1])) / r2
    maps = TissueMaps(pd, t1, t2, agent, csf)
    bias = [sample(lattice.noise(texture_rng, 160.0)) for _ in range(2)]
    images = {}
    for m in MODALITIES:
        out = np.zeros(shape, np.int16)
        out[box] = scanner.acquire(m, maps, brain, bias, tuple(voxel), noise_rng)
        images[m] = out
    lab = np.zeros(shape, np.uint8)
    b = np.zeros(brain.shape, np.uint8)
    b[brain] = label
    lab[box] = b
    aff = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    aff[1, 3] = (shape[1] - 1) * spacing[1]
    return PhantomCase(images, lab, aff, grade, bool((lab == 4).any()))


def write_cohort(
    folder: str | Path,
    cases: int = 24,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a cohort."""
    folder = Path(folder)
    record = {"cases": cases, "shape": list(shape), "spacing": list(spacing), "seed": seed, "version": 1}
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "phantom.json").exists():
            raise InputError(f"{folder} is not empty")
        old = read_json(folder / "phantom.json")
        if {**old, "cases": 0} != {**record, "cases": 0} or old["cases"] > cases:
            raise InputError(f"{folder} holds another phantom cohort {old}, not {record}: choose another folder.")
    write_json(folder / "phantom.json", record)
    phase = np.random.default_rng([seed]).random()
    out = []
    for i in range(cases):
        grade = "LGG" if np.floor((i + 1) * LGG_SHARE + phase) > np.floor(i * LGG_SHARE + phase) else "HGG"
        name = f"Phantom18_{i:04d}_1"
        where = folder / grade / name
        paths = [where / f"{name}_{s}.nii.gz" for s in (*MODALITIES, "seg")]
        if not all(p.exists() for p in paths):
            s = int(np.random.SeedSequence([seed, i]).generate_state(1, np.uint64)[0])
            case = make_case(s, shape, spacing, grade)
            for p, array in zip(paths, (*case.images.values(), case.label), strict=True):
                with atomic_write(p) as f:
                    f.write(gzip.compress(nib.Nifti1Image(array, case.affine).to_bytes(), 1, mtime=0))
        out.append(where)
        if progress:
            progress(i + 1, cases)
    return out
