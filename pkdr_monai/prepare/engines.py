"""Programs that find the brain in a head: deepbet as a package, HD-BET by its command; neither is part of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nibabel as nib
import numpy as np

from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.prepare.volume import Volume

__all__ = ["ENGINES", "Extracted", "carrier_of", "choices", "extract_brain"]

ENGINES: dict[str, tuple[str, ...]] = {"deepbet": ("t1", "t1ce"), "hd-bet": MODALITIES}
"""What ``--brain`` may name, with the modalities that each can take, the preferred one first."""

HD_BET_FOLDER = Path("hd-bet_params", "release_2.0.0")  # below the home folder, which its code looks into
HD_BET_WEIGHTS = Path("fold_all", "checkpoint_final.pth")
SHOWN = 200  # characters of what a program said


@dataclass(frozen=True)
class Extracted:
    """A brain mask that a program made.

    Args:
        mask: bool, ``(X, Y, Z)``, on the grid of the head.
        version: of the program, ``"unknown"`` where it does not say.
        weights: SHA-256 of its weights, ``None`` where they are part of the version or not known.
    """

    mask: Volume
    version: str
    weights: str | None


def choices() -> str:
    """Return the choices of ``--brain`` for a message.

    Example:
        >>> choices()
        '--brain deepbet (t1, t1ce), --brain hd-bet (t1, t1ce, t2, flair)'
    """
    return ", ".join(f"--brain {engine} ({', '.join(modalities)})" for engine, modalities in ENGINES.items())


def carrier_of(engine: str, modalities: Iterable[str]) -> str:
    """Return the modality in which an engine finds the brain, for all that lie on one grid with it.

    Raises:
        InputError: when it can take none of them.

    Example:
        >>> carrier_of("deepbet", ["flair", "t1ce"])
        't1ce'
    """
    given = tuple(modalities)
    for modality in ENGINES[engine]:
        if modality in given:
            return modality
    raise InputError(
        f"--brain {engine} takes {' and '.join(ENGINES[engine])}, and there is {', '.join(given)} alone: choose among "
        f"{choices()} and --brain_mask FILE, or give a series that it takes, too."
    )


def extract_brain(engine: str, head: Volume, scratch: Path, weights: Path | None = None) -> Extracted:
    """Let a program find the brain.

    Args:
        engine: one of :data:`ENGINES`.
        head: a whole head.
        scratch: an existing folder for temporary files.
        weights: folder with the weights of HD-BET; by default, where its own code looks for them and puts them.

    Raises:
        InputError: when the program is not installed or fails, or its mask lies on another grid.
    """
    folder = scratch / "brain"
    folder.mkdir()
    name = "head.nii" if engine == "deepbet" else "head.nii.gz"  # deepbet takes small files for broken ones
    source = folder / name
    image = nib.Nifti1Image(head.voxels, head.affine, dtype=head.voxels.dtype)
    image.to_filename(source)
    if engine == "deepbet":
        path, version, digest = _run_deepbet(source)
    else:
        path, version, digest = _run_hd_bet(source, weights)
    try:
        affine, voxels = read_header(path).affine, read_voxels(path)
    except (UnreadableError, OSError) as error:
        raise _failed(engine, "it left no mask that can be read") from error
    if voxels.shape != head.voxels.shape:
        raise _failed(engine, f"its mask has {voxels.shape} voxels, the image {head.voxels.shape}")
    return Extracted(Volume(np.nan_to_num(voxels) > 0, affine), version, digest)


def _failed(engine: str, what: str) -> InputError:
    return InputError(f"{engine} failed: {what}. Choose another engine, or give a mask with --brain_mask FILE.")


def _run_deepbet(source: Path) -> tuple[Path, str, None]:
    """Run deepbet in this process, on the processor, so that one image gives one mask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript, which its weights are, is deprecated
        try:
            from deepbet import run_bet
        except ImportError as error:
            raise InputError(
                f"--brain deepbet needs a package that is not installed ({error.name}): "
                "pip install 'pkdr-monai[brain]', or give a mask with --brain_mask FILE."
            ) from error
        target = source.with_name("mask.nii.gz")
        try:
            run_bet([str(source)], mask_paths=[str(target)], no_gpu=True, skip_broken=False)
        except Exception as error:  # it checks by assert, and hands on what torch and numpy raise on odd images
            said = " ".join(str(error).split())[:SHOWN]
            raise _failed("deepbet", f"{type(error).__name__}: {said}".rstrip(". ")) from error
    return target, metadata.version("deepbet"), None


def _run_hd_bet(source: Path, weights: Path | None) -> tuple[Path, str, str | None]:
    """Run the command of HD-BET 2, as its ``--help`` has it; the test-time augmentation only on a GPU."""
    import torch

    command = shutil.which("hd-bet")
    if command is None:
        raise InputError(
            "--brain hd-bet needs the command hd-bet on PATH: install HD-BET 2 (pip install hd-bet), in an environment "
            "of its own if you like, or give a mask with --brain_mask FILE."
        )
    target = source.with_name("brain.nii.gz")
    device = ["-device", "cuda"] if torch.cuda.is_available() else ["-device", "cpu", "--disable_tta"]
    words = [command, "-i", str(source), "-o", str(target), *device, "--save_bet_mask", "--no_bet_image"]
    environment = dict(os.environ)
    if weights is not None:
        environment |= _home_with(weights, source.with_name("home"))
    ran = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False, env=environment)
    if ran.returncode:
        said = (ran.stderr.strip() or ran.stdout.strip() or "it said nothing").splitlines()[-1].strip()[:SHOWN]
        raise _failed("hd-bet", f"exit code {ran.returncode}: {said}".rstrip(". "))
    used = (Path.home() / HD_BET_FOLDER if weights is None else weights) / HD_BET_WEIGHTS
    return source.with_name("brain_bet.nii.gz"), _version_of(command), file_hash(used) if used.is_file() else None


def _home_with(weights: Path, home: Path) -> dict[str, str]:
    """Make a home folder in which HD-BET finds the weights, since it takes them from nowhere else."""
    if not (weights / HD_BET_WEIGHTS).is_file():
        raise InputError(
            f"--brain_weights {weights} holds no {HD_BET_WEIGHTS}: give the unpacked folder of HD-BET's release_2.0.0."
        )
    place = home / HD_BET_FOLDER
    place.parent.mkdir(parents=True)
    place.symlink_to(weights.resolve())
    packages = os.environ.get("PYTHONUSERBASE", str(Path.home() / ".local"))  # found below the home folder by default
    return {"HOME": str(home), "PYTHONUSERBASE": packages}


def _version_of(command: str) -> str:
    """Return the version where the command belongs to this environment; it has no option that says it."""
    try:
        return metadata.version("hd-bet") if Path(command).parent == Path(sys.executable).parent else "unknown"
    except metadata.PackageNotFoundError:
        return "unknown"
