"""Segmentations in a folder: found by their names, read as regions, with the probabilities beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.data.brats import cases_of_files
from pkdr_monai.data.cases import nifti_files
from pkdr_monai.data.headers import UnreadableError
from pkdr_monai.data.names import NIFTI_NAME
from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS
from pkdr_monai.reporting.scans import Predicted, read_canonical, regions_of
from pkdr_monai.reporting.scores import case_of_file

__all__ = ["Segmentation", "find_segmentations"]

ENDING = "_seg"


@dataclass(frozen=True)
class Segmentation:
    """The files of one case's prediction.

    Args:
        label: the label map.
        probabilities: probabilities of the regions, ``(X, Y, Z, 3)``, where they were written.
        preview: a picture, where one was drawn.
    """

    label: Path
    probabilities: Path | None = None
    preview: Path | None = None

    def read(self, label_scheme: str) -> Predicted:
        """Read the regions, and their probabilities where they are there.

        Args:
            label_scheme: scheme of the label values.

        Raises:
            InputError: when a file cannot be read, or holds something else.
        """
        try:
            label, affine = read_canonical(self.label)
            regions = regions_of(label, label_scheme)
            if self.probabilities is None:
                return Predicted(regions, affine)
            probabilities, _ = read_canonical(self.probabilities)
        except UnreadableError as error:
            raise InputError(f"a segmentation of {self.label.parent} cannot be read: {error.what}.") from error
        return Predicted(regions, affine, _checked(probabilities, regions, self.probabilities))


def find_segmentations(folder: str | Path) -> dict[str, Segmentation]:
    """Find the segmentations in a folder: ``<case>/<case>_seg.nii.gz`` or ``<case>_t2_seg.nii.gz``.

    Args:
        folder: a folder of predictions.

    Returns:
        Segmentations by case, in the order of the cases' names.

    Raises:
        InputError: when the folder holds scans too, so that its ``_seg`` files are a data set's labels, or one case
            twice.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("ann_seg.nii.gz", "bob_t2_seg.nii"):
        ...     (folder / name).touch()
        >>> list(find_segmentations(folder))
        ['ann', 'bob']
    """
    folder = Path(folder)
    files = list(nifti_files(folder))
    if any(case.modalities for case in cases_of_files(files, folder)):
        raise InputError(
            f"{folder} holds scans beside its _seg files, so these are taken for labels of a data set: "
            "name a folder of predictions, or keep predictions in a folder of their own."
        )
    found: dict[str, Segmentation] = {}
    for path in files:
        match = NIFTI_NAME.fullmatch(path.name)
        stem = match["stem"] if match else ""
        if not stem.endswith(ENDING):
            continue
        case = case_of_file(f"{stem.removesuffix(ENDING)}.nii.gz")
        if case in found:
            raise InputError(f"{folder} has two segmentations of {case}: {found[case].label.name} and {path.name}.")
        found[case] = _with_companions(folder / path, stem.removesuffix(ENDING))
    return dict(sorted(found.items()))


def _with_companions(label: Path, stem: str) -> Segmentation:
    probabilities = (label.with_name(f"{stem}_probabilities{ending}") for ending in (".nii.gz", ".nii"))
    previews = (label.with_name(name) for name in (f"{stem}_preview.png", "preview.png"))
    return Segmentation(label, *(next((p for p in paths if p.is_file()), None) for paths in (probabilities, previews)))


def _checked(probabilities: np.ndarray, regions: np.ndarray, path: Path) -> np.ndarray:
    """Return probabilities as ``(3, X, Y, Z)``, and refuse what cannot be such."""
    expected: tuple[Any, ...] = (*regions.shape[1:], len(REGIONS))
    if probabilities.shape != expected:
        raise InputError(f"{path} has the shape {probabilities.shape}, expected {expected}: one channel a region.")
    if not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise InputError(f"{path} holds values outside of 0 to 1: expected probabilities. Write it again.")
    return np.moveaxis(probabilities, -1, 0).astype(np.float32)
