"""A synthetic cohort in BraTS 2018's layout, for tests, tutorials and measurements where no data may be shipped.

What a modality can and cannot show is as in life: enhancing tumour hardly stands out without contrast agent, the whole
tumour shows in FLAIR and T2. docs/phantom.md describes the model, its sources and its limits.
"""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write, read_object, write_json
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.case import PhantomCase, make_case
from pkdr_monai.phantom.lattice import SHAPE, SPACING, ImageGrid
from pkdr_monai.phantom.plan import LGG_SHARE
from pkdr_monai.phantom.wide import make_wide_case, wide_grade
from pkdr_monai.regions import HEALTHY_FOLDER

__all__ = ["PhantomCase", "make_case", "write_cohort"]

RECORD = "phantom.json"
MODEL_VERSION = 1  # raise it when the same seed gives other bytes
WIDE_VERSION = 2  # the same for the wide setting
MODELS = {"brats2018": "Phantom18", "wide": "PhantomWide", "healthy": "PhantomHealthy"}  # and their cases' names
COMPRESSION = 1  # noise does not compress: more effort costs time and saves little


def write_cohort(
    folder: str | Path,
    cases: int = 24,
    shape: Sequence[int] = SHAPE,
    spacing: Sequence[float] = SPACING,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    model: str = "brats2018",
) -> list[Path]:
    """Write a synthetic cohort: ``HGG/<name>/<name>_{t1,t1ce,t2,flair,seg}.nii.gz`` and ``LGG/...``.

    A case depends on ``seed`` and its own number alone, so that a larger cohort extends a smaller one. What is there
    already is kept: a write that was killed can be repeated, and repeating a whole one costs nothing.

    Args:
        folder: where to write; new, empty, or begun with the same shape, spacing and seed.
        cases: how many cases; about 26 % are of low grade, spread evenly, as in BraTS 2018.
        shape: size of the images in voxels.
        spacing: size of a voxel in millimetres.
        seed: names the cohort.
        progress: called after each case with the number of cases done and in all.
        model: ``"brats2018"``, whose cases are alike to that data set's; ``"wide"``, the wide setting: far more
            varied, with names ``PhantomWide_...`` and, below ``healthy/``, some heads without a tumour; or
            ``"healthy"``, such heads alone, ``PhantomHealthy_...``.

    Returns:
        The cases' folders, in order.

    Raises:
        InputError: when the folder holds anything else, or an argument is out of range.

    Example:
        >>> import tempfile
        >>> folders = write_cohort(tempfile.mkdtemp(), cases=1, shape=(32, 32, 32))
        >>> sorted(path.name for path in folders[0].iterdir())[0]
        'Phantom18_0000_1_flair.nii.gz'
    """
    if cases < 1 or seed < 0:
        raise InputError(f"expected at least 1 case and a seed of 0 or more, got {cases} and {seed}.")
    if model not in MODELS:
        raise InputError(f"expected a model of {' or '.join(MODELS)}, got {model!r}.")
    ImageGrid(shape, spacing)  # refuses what no case could have before anything is written
    folder = Path(folder)
    wide = model != "brats2018"
    recipe = {
        **({"model": model} if wide else {}),  # version 1's records have no such entry
        "model_version": WIDE_VERSION if wide else MODEL_VERSION,
        "seed": int(seed),
        "shape": [int(side) for side in shape],
        "spacing": [float(step) for step in spacing],
    }
    _claim(folder, recipe, cases)
    folders = []
    draw: Callable[..., PhantomCase]
    arguments: tuple[Any, ...]
    for number in range(cases):
        case_seed = int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0])
        if model == "healthy":
            case_seed = next(other for other in itertools.count(case_seed) if wide_grade(other) == "none")
        if wide:
            grade = wide_grade(case_seed).replace("none", HEALTHY_FOLDER)
            draw, arguments = make_wide_case, (case_seed, shape, spacing)
        else:
            grade = _grade(seed, number)
            draw, arguments = make_case, (case_seed, shape, spacing, grade)
        folders.append(folder / grade / f"{MODELS[model]}_{number:04d}_1")
        _write_case(folders[-1], draw, arguments)
        if progress is not None:
            progress(number + 1, cases)
    return folders


def _claim(folder: Path, recipe: dict[str, Any], cases: int) -> None:
    """Record in the folder what it is to hold, unless it holds something else.

    Raises:
        InputError: when it does.
    """
    record = {"recipe": recipe, "cases": cases}
    path = folder / RECORD
    if path.exists():
        earlier = read_object(path)
        if earlier.get("recipe") != recipe or earlier.get("cases", 0) > cases:
            raise InputError(
                f"{folder} holds another synthetic cohort: {earlier}, not {record}. "
                "Name another folder, or repeat the earlier settings with as many cases or more."
            )
        if earlier == record:
            return
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no synthetic cohort ({RECORD}). Name a new or empty folder.")
    write_json(path, record)


def _grade(seed: int, number: int) -> str:
    """Return the grade of a case: every stretch of a cohort has BraTS 2018's proportion of low-grade tumours."""
    start = np.random.default_rng(seed).random()
    return "LGG" if math.floor((number + 1) * LGG_SHARE + start) > math.floor(number * LGG_SHARE + start) else "HGG"


def _write_case(folder: Path, draw: Callable[..., PhantomCase], arguments: tuple[Any, ...]) -> None:
    """Write a case's five files, unless they are there."""
    paths = {kind: folder / f"{folder.name}_{kind}.nii.gz" for kind in (*MODALITIES, "seg")}
    if all(path.exists() for path in paths.values()):
        return
    case = draw(*arguments)
    for kind, path in paths.items():
        image = nib.Nifti1Image(case.label if kind == "seg" else case.images[kind], case.affine)
        image.header.set_xyzt_units("mm")
        with atomic_write(path) as file:
            file.write(gzip.compress(image.to_bytes(), COMPRESSION, mtime=0))
