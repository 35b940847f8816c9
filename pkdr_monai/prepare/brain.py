"""The brain of a head: by a mask that somebody or an engine made, or as it is where the skull is gone already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.data.geometry import is_same_grid
from pkdr_monai.data.likeness import doubtful_size
from pkdr_monai.data.voxels import image_findings
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.prepare.engines import ENGINES, carrier_of, choices, extract_brain
from pkdr_monai.prepare.volume import Volume, read_volume, write_volume

__all__ = ["SKULL_STRIPPED", "BrainSource", "apply_mask", "find_brains", "finding_about", "read_mask"]

OUTSIDE = 0.99  # of a mask; one that fills the image masks nothing


@dataclass(frozen=True)
class BrainSource:
    """Where the brain of a head comes from; by default the images must be skull-stripped.

    Args:
        mask: file of a brain mask, on the grid of the series, or of the reference where they are registered.
        engine: program that makes one, of :data:`~pkdr_monai.prepare.engines.ENGINES`.
        weights: folder with the weights of HD-BET; by default, where its own code looks for them.

    Raises:
        InputError: when the engine is unknown, or two of them contradict each other.
    """

    mask: Path | None = None
    engine: str | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.engine is not None and self.engine not in ENGINES:
            raise InputError(f"unknown --brain {self.engine}: choose among {choices()}.")
        if self.engine is not None and self.mask is not None:
            raise InputError("--brain and --brain_mask both say where the brain is: give one.")
        if self.weights is not None and self.engine != "hd-bet":
            raise InputError("--brain_weights is for --brain hd-bet: leave it out.")


SKULL_STRIPPED = BrainSource()
"""Nothing makes a mask: the images must be brains already."""


def find_brains(
    volumes: Mapping[str, Volume],
    source: BrainSource,
    scratch: Path,
    heads: Path,
    case: str,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Volume], dict[str, Any]]:
    """Return volumes on one grid with 0 outside the brain, and for the record how.

    Where that cannot be, the volumes and what an engine took for the brain are written for a person to look at.

    Args:
        volumes: by modality.
        source: where the brain comes from.
        scratch: an existing folder for temporary files.
        heads: folder for what a person should look at.
        case: begins the names of its files.
        log: called with each line for people.

    Raises:
        InputError: when the brain is not known, or is none by the checks of :func:`finding_about`.
    """
    if source.mask is not None:
        mask, by = read_mask(source.mask), "the brain mask"
        how: dict[str, Any] = {"how": "brain mask of the user", "mask_sha256": file_hash(source.mask)}
    elif not any(map(finding_about, volumes.values())):
        if source.engine is not None:
            log(f"the images are skull-stripped already: {source.engine} was not run")
        return dict(volumes), {"how": "already skull-stripped"}
    elif source.engine is not None:
        try:
            mask, how = _by_engine(volumes, source, scratch, log)
        except InputError as error:
            _write_heads(volumes, heads, case)
            raise InputError(f"{error} The heads lie in {heads}.") from error
        by = f"the brain mask of {source.engine}"
    else:
        modality, wrong = next((name, finding_about(one)) for name, one in volumes.items() if finding_about(one))
        _write_heads(volumes, heads, case)
        raise InputError(
            f"{modality} {wrong}: choose an engine that finds the brain, {choices()}; or make a brain mask of "
            f"{heads / f'{case}_{modality}.nii.gz'} with another program, and give it with --brain_mask."
        )
    brains = {name: apply_mask(volume, mask) for name, volume in volumes.items()}
    for modality, brain in brains.items():
        wrong = finding_about(brain)
        if wrong is not None and source.engine is None:
            raise InputError(f"{modality} within {by} {wrong}: look at the mask.")
        if wrong is not None:
            _write_heads(volumes, heads, case)
            made = heads / f"{case}_brain.nii.gz"
            write_volume(made, Volume(mask.voxels.astype(np.uint8), mask.affine))
            raise InputError(
                f"{modality} within {by} {wrong}: look at {made}, repair it and give it with --brain_mask, or choose "
                "another engine."
            )
    modality, first = next(iter(brains.items()))
    unusual = doubtful_size(first.voxels, first.affine)
    if unusual:
        log(f"look at the result: {modality} within {by} {unusual}")
    return brains, how


def _by_engine(
    volumes: Mapping[str, Volume], source: BrainSource, scratch: Path, log: Callable[[str], None]
) -> tuple[Volume, dict[str, Any]]:
    engine = str(source.engine)
    carrier = carrier_of(engine, volumes)
    log(f"{engine} looks for the brain in {carrier}")
    found = extract_brain(engine, volumes[carrier], scratch, source.weights)
    file = scratch / "mask.nii.gz"
    write_volume(file, Volume(found.mask.voxels.astype(np.uint8), found.mask.affine))
    how = {
        "how": f"brain mask of {engine}",
        "engine": engine,
        "version": found.version,
        "weights_sha256": found.weights,
        "modality": carrier,
        "mask_sha256": file_hash(file),
    }
    return found.mask, how


def _write_heads(volumes: Mapping[str, Volume], heads: Path, case: str) -> None:
    for name, head in volumes.items():
        write_volume(heads / f"{case}_{name}.nii.gz", head)


def finding_about(volume: Volume) -> str | None:
    """Say why a volume is no skull-stripped brain, or return ``None`` for one that ``pkdr predict`` takes."""
    finding = next(image_findings(volume.voxels, volume.affine), None)
    return None if finding is None else finding.what


def read_mask(path: Path) -> Volume:
    """Read a brain mask, or an image that is 0 outside the brain.

    Raises:
        InputError: when the file is no 3-D NIfTI, or marks no brain.
    """
    image = read_volume(path, f"the brain mask {path}")
    marked = np.nan_to_num(image.voxels) != 0
    if not 0 < marked.mean() < OUTSIDE:
        raise InputError(
            f"the brain mask {path} marks {100 * marked.mean():.3g} % of its voxels: give a mask of the brain."
        )
    return Volume(marked, image.affine)


def apply_mask(volume: Volume, mask: Volume) -> Volume:
    """Return a volume with 0 outside the mask.

    Raises:
        InputError: when the mask lies on another grid.
    """
    shapes = volume.voxels.shape, mask.voxels.shape
    if shapes[0] != shapes[1] or not is_same_grid(shapes[0], mask.affine, volume.affine):
        raise InputError(
            f"the brain mask lies on another grid than the image ({shapes[1]} and {shapes[0]} voxels): "
            "make it from the image that pkdr prepare writes below heads/."
        )
    return Volume(np.where(mask.voxels, volume.voxels, 0).astype(volume.voxels.dtype), volume.affine)
