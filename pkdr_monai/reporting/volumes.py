"""A scan with its label and its segmentation, all on one grid and in one orientation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pkdr_monai.data.cases import Case, nifti_files
from pkdr_monai.data.geometry import is_same_grid
from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.data.layouts import cases_of_files
from pkdr_monai.data.names import NIFTI_NAME, stem_of
from pkdr_monai.data.nnunet import NUMBERED
from pkdr_monai.errors import InputError
from pkdr_monai.regions import REGIONS, label_to_regions, whole_labels

__all__ = [
    "Predicted",
    "Segmentation",
    "ShownCase",
    "canonical",
    "case_of_file",
    "find_segmentations",
    "read_canonical",
    "read_volumes",
    "regions_of",
]

SHOWN_FIRST = ("flair", "t2", "t1ce", "t1")  # a tumour as a whole shows best in FLAIR


@dataclass(frozen=True)
class Predicted:
    """What a network says of one case.

    Args:
        regions: TC, WT, ET, bool, ``(3, X, Y, Z)``.
        affine: voxel index to position in mm, ``(4, 4)``.
        probabilities: of the same regions, ``(3, X, Y, Z)``, float32, or ``None``.
    """

    regions: np.ndarray
    affine: np.ndarray
    probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class ShownCase:
    """What is known of one case; every volume is oriented to RAS.

    Args:
        case: its name.
        modality: the modality that ``image`` is.
        image: ``(X, Y, Z)``, 0 outside the brain.
        affine: voxel index to position in mm, ``(4, 4)``.
        truth: TC, WT, ET, bool, ``(3, X, Y, Z)``, or ``None`` where the case has no label.
        prediction: the network's, or ``None`` where there is none.
    """

    case: str
    modality: str
    image: np.ndarray
    affine: np.ndarray
    truth: np.ndarray | None = None
    prediction: Predicted | None = None

    @property
    def regions(self) -> dict[str, np.ndarray]:
        """The regions that are there, by whose they are: ``"truth"`` and ``"prediction"``."""
        regions = {} if self.truth is None else {"truth": self.truth}
        return regions if self.prediction is None else {**regions, "prediction": self.prediction.regions}


def read_volumes(
    case: Case, folder: Path, label_scheme: str, modalities: tuple[str, ...], prediction: Predicted | None
) -> ShownCase:
    """Read one of a case's images and its label, and lay a prediction over them.

    Args:
        case: the case.
        folder: the data set's folder.
        label_scheme: scheme of its label.
        modalities: the modalities that the network sees; one of them is shown.
        prediction: what the network says, or ``None``.

    Raises:
        InputError: when a file cannot be read, or the prediction lies on another grid.
    """
    modality = next((name for name in SHOWN_FIRST if name in modalities and name in case.modalities), None)
    if modality is None:
        raise InputError(f"case {case.name} has none of the modalities {', '.join(modalities)}.")
    try:
        channel = (case.channels or {}).get(modality)
        image, affine = read_canonical(folder / case.modalities[modality], channel, case.geometry)
        label = None if case.label is None else read_canonical(folder / case.label, geometry=case.geometry)[0]
        truth = None if label is None else regions_of(label, label_scheme)
    except UnreadableError as error:
        raise error.of(f"case {case.name}") from error
    scan = ShownCase(case.name, modality, image, affine, truth, prediction)
    for name, regions in scan.regions.items():
        if regions.shape[1:] != image.shape:
            raise InputError(
                f"case {case.name}: the {name} has {regions.shape[1:]} voxels, its {modality} {image.shape}. "
                "Check that they belong together."
            )
    if prediction is not None and not is_same_grid(image.shape, prediction.affine, affine):
        raise InputError(f"case {case.name}: the prediction lies elsewhere than its {modality} (another affine).")
    return scan


def read_canonical(path: Path, channel: int | None = None, geometry: str = "header") -> tuple[np.ndarray, np.ndarray]:
    """Read a volume, turned to RAS, and its affine.

    Args:
        path: the file.
        channel: which channel of a 4-D file, or ``None`` for all.
        geometry: which affine of its header to use, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

    Raises:
        UnreadableError: when the file is absent or broken, or its header states two geometries.
    """
    header = read_header(path, geometry)
    voxels = read_voxels(path)
    return canonical(voxels[..., channel] if channel is not None and voxels.ndim == 4 else voxels, header.affine)


def canonical(voxels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn voxels ``(X, Y, Z)`` or ``(X, Y, Z, C)`` to RAS without resampling; return them with their affine.

    Example:
        >>> canonical(np.arange(2).reshape(2, 1, 1), np.diag([-1.0, 1, 1, 1]))[0].ravel().tolist()
        [1, 0]
    """
    turn = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(voxels, turn)
    return np.ascontiguousarray(turned), affine @ nib.orientations.inv_ornt_aff(turn, voxels.shape[:3])


def regions_of(label: np.ndarray, label_scheme: str) -> np.ndarray:
    """Return the regions of a label map, bool, ``(3, X, Y, Z)``."""
    import torch  # here, so that a report without images does not wait for it

    return label_to_regions(torch.from_numpy(whole_labels(label)), label_scheme).numpy() > 0


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
            raise error.of(f"a segmentation of {self.label.parent}") from error
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


def case_of_file(path: str, numbered: bool = False) -> str:
    """Return the case that an image file belongs to.

    Args:
        path: the file, which need not exist.
        numbered: whether its name ends in the number of its channel, as those of nnU-Net's raw data do
            (:func:`pkdr_monai.data.nnunet.is_raw_data`).

    Example:
        >>> case_of_file("HGG/ann/ann_t2.nii.gz"), case_of_file("imagesTr/BRATS_001.nii.gz")
        ('ann', 'BRATS_001')
        >>> case_of_file("imagesTr/ann_0002.nii.gz", numbered=True)
        'ann'
    """
    name = Path(path.replace("\\", "/"))
    if numbered and (channel := NUMBERED.fullmatch(stem_of(name.name))):
        return channel["case"]
    cases = cases_of_files([name], Path())
    if cases:
        return cases[0].name
    match = NIFTI_NAME.fullmatch(name.name)
    return match["stem"] if match else name.name


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
