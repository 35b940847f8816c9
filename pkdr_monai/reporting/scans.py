"""One case as the report shows it: an image, the truth and a prediction on one grid, in standard orientation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from pkdr_monai.data.cases import Case
from pkdr_monai.data.headers import UnreadableError, read_header, read_voxels
from pkdr_monai.errors import InputError
from pkdr_monai.regions import label_to_regions, whole_labels

__all__ = ["Predicted", "Scan", "canonical", "read_canonical", "read_scan", "regions_of"]

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
class Scan:
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


def read_scan(
    case: Case, folder: Path, label_scheme: str, modalities: tuple[str, ...], prediction: Predicted | None
) -> Scan:
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
        raise InputError(f"case {case.name} cannot be read: {error.what}; {error.fix}.") from error
    scan = Scan(case.name, modality, image, affine, truth, prediction)
    for name, regions in scan.regions.items():
        if regions.shape[1:] != image.shape:
            raise InputError(
                f"case {case.name}: the {name} has {regions.shape[1:]} voxels, its {modality} {image.shape}. "
                "Check that they belong together."
            )
    if prediction is not None and not np.allclose(prediction.affine, affine, atol=0.1):
        raise InputError(f"case {case.name}: the prediction lies elsewhere than its {modality} (another affine).")
    return scan


def read_canonical(path: Path, channel: int | None = None, geometry: str = "header") -> tuple[np.ndarray, np.ndarray]:
    """Read a volume, turned to RAS, and its affine.

    Args:
        path: the file.
        channel: which channel of a 4-D file, or ``None`` for all.
        geometry: what of its header counts, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

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
