"""Refuse a scan that a network would segment into nonsense, with one sentence that says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pkdr_monai.data.checks import check_cases
from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.data.problems import Problem, errors_among
from pkdr_monai.errors import InputError
from pkdr_monai.inference.scans import Scan

__all__ = ["check_scan", "foreign_intensities", "head_around_brain", "refuse_two_candidates"]

NEGATIVE = 0.2  # of the voxels that are not 0; a magnitude image has none, one resampled by splines a few at its edge
HOUNSFIELD = -200.0  # far below 0: units of a CT, where air is -1000
BACKGROUND = 0.2  # of the voxels must be 0; a brain alone leaves half of its own bounding box empty
BRAIN_ML = 2300.0  # of 24 cases of BraTS 2018 the brain has 1084 to 1721 mL; a head has 3000 and more


def check_scan(scan: Scan, modalities: Sequence[str], force: bool = False) -> list[str]:
    """Check what a model is about to see of a scan.

    Args:
        scan: the scan.
        modalities: what the model sees of it.
        force: take a scan that does not look skull-stripped.

    Returns:
        What a person should look at, one sentence each.

    Raises:
        InputError: with the first thing that is wrong, in one sentence.
    """
    problems = check_cases([scan.case], scan.folder, "brats2018", modalities, need_label=False)
    for problem in errors_among(problems):
        raise InputError(_sentence(problem))
    warnings = [_sentence(problem) for problem in problems]
    for modality in modalities:
        (path,) = scan.paths([modality])
        image = read_voxels(path)
        if scan.case.channels is not None:
            image = image[..., scan.case.channels[modality]]
        for what in foreign_intensities(image):
            raise InputError(f"case {scan.name}: {path} {what}.")
        for what in head_around_brain(image, read_header(path).voxel_volume):
            sentence = f"case {scan.name}: {path} does not look skull-stripped: {what}"
            if not force:
                raise InputError(f"{sentence}; strip it, such as with HD-BET or SynthStrip, or insist with --force.")
            warnings.append(f"{sentence}; segmented all the same, as --force says.")
    return warnings


def foreign_intensities(image: np.ndarray) -> Iterator[str]:
    """Yield what says that an image is no MRI as scanned.

    Example:
        >>> list(foreign_intensities(np.array([-1000.0, -1000.0, 40.0])))[0][:38]
        'looks like a CT: 67 % of its voxels ar'
    """
    shown = max(1, int(np.count_nonzero(image)))
    if np.count_nonzero(image < HOUNSFIELD) > NEGATIVE * shown:
        share = 100 * np.count_nonzero(image < 0) / shown
        yield f"looks like a CT: {share:.0f} % of its voxels are negative, down to {image.min():g}; give an MRI"
    elif np.count_nonzero(image < 0) > NEGATIVE * shown:
        yield "holds many negative values, as after a normalisation: give the image as scanned, with background 0"


def head_around_brain(image: np.ndarray, voxel_volume: float) -> Iterator[str]:
    """Yield what says that an image shows more than a brain.

    Args:
        image: ``(X, Y, Z)``.
        voxel_volume: mm³.

    Example:
        >>> list(head_around_brain(np.ones((10, 10, 10)), 1.0))
        ['0 % of its voxels are 0, where the background of a brain alone is 0']
        >>> list(head_around_brain(np.pad(np.ones((8, 8, 8)), 1), 1000.0))
        []
    """
    background = 1 - np.count_nonzero(image) / image.size
    volume = np.count_nonzero(image) * voxel_volume / 1000
    if background < BACKGROUND:
        yield f"{100 * background:.0f} % of its voxels are 0, where the background of a brain alone is 0"
    elif volume > BRAIN_ML:
        yield f"what is not 0 fills {volume:,.0f} mL, and a brain at most {BRAIN_ML:,.0f}"


def refuse_two_candidates(scan: Scan) -> None:
    """Refuse a scan that has more than one file for a modality.

    Raises:
        InputError: with the list of them.
    """
    for modality in scan.modalities:
        further = [path for content, path in scan.case.duplicates if content == modality]
        if further:
            candidates = ", ".join([scan.case.modalities[modality], *further])
            raise InputError(
                f"case {scan.name} has {1 + len(further)} files for {modality}: {candidates}; "
                f"name the right one with --{modality} FILE, or move the others away."
            )


def _sentence(problem: Problem) -> str:
    return f"case {problem.case}, {problem.where}: {problem.what}; {problem.fix.rstrip('.')}."
