"""What a report computes with torch and MONAI: predictions that were not kept, Dice, HD95 and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.metrics.calibration import calibration_binning
from monai.transforms import Compose, Invertd

from pkdr_monai.data import training_items
from pkdr_monai.data.cases import Case
from pkdr_monai.data.entries import entry_of
from pkdr_monai.metrics import region_dice, region_hd95
from pkdr_monai.networks import load_model
from pkdr_monai.regions import REGIONS, nested_regions
from pkdr_monai.reporting.volumes import Predicted, ShownCase, canonical
from pkdr_monai.runs.models import read_model
from pkdr_monai.workflow import find_configs

__all__ = ["BINS", "Calibration", "Recompute", "Reliability", "dice", "hd95"]


def dice(scan: ShownCase) -> tuple[float, ...]:
    """Return the Dice of TC, WT and ET, 1 where truth and prediction are both empty.

    Args:
        scan: a case with truth and prediction.

    Example:
        >>> from pkdr_monai.reporting.volumes import Predicted
        >>> truth = np.zeros((3, 8, 8, 8), bool)
        >>> truth[:, 2:6, 2:6, 2:6] = True
        >>> scan = ShownCase("a", "t2", truth[0] * 1.0, np.eye(4), truth, Predicted(truth, np.eye(4)))
        >>> dice(scan), hd95(scan)
        ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    """
    return tuple(region_dice(*_regions(scan)))


def hd95(scan: ShownCase) -> tuple[float, ...]:
    """Return the HD95 of TC, WT and ET in mm, as :class:`~pkdr_monai.metrics.HD95Metric` scores empty regions.

    Args:
        scan: a case with truth and prediction.
    """
    return tuple(region_hd95(*_regions(scan), np.linalg.norm(scan.affine[:3, :3], axis=0).tolist()))


def _regions(scan: ShownCase) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prediction and truth, ``(3, X, Y, Z)`` each."""
    if scan.truth is None or scan.prediction is None:
        raise ValueError(f"case {scan.case} has no truth or no prediction: there is nothing to measure.")
    found, truth = (np.ascontiguousarray(regions) for regions in (scan.prediction.regions, scan.truth))
    return torch.from_numpy(found), torch.from_numpy(truth)


BINS = 10


@dataclass(frozen=True)
class Reliability:
    """One region's reliability, in bins of equal width; NaN where a bin is empty.

    Args:
        probability: mean predicted probability of each bin.
        frequency: part of each bin's voxels that are of the region.
        voxels: number of voxels in each bin.
        error: expected calibration error, ECE: |probability - frequency|, a mean weighted by ``voxels``.
    """

    probability: tuple[float, ...]
    frequency: tuple[float, ...]
    voxels: tuple[int, ...]
    error: float


class Calibration:
    """Pool the voxels of several cases, region by region.

    Voxels of the brain count, and any that the truth labels outside of it; the empty background does not, since it
    would make every network look well calibrated.

    Example:
        >>> from pkdr_monai.reporting.volumes import Predicted
        >>> half = np.full((3, 2, 1, 1), 0.5, np.float32)
        >>> truth = np.array([True, False] * 3).reshape(3, 2, 1, 1)
        >>> calibration = Calibration()
        >>> found = Predicted(truth, np.eye(4), half)
        >>> calibration.add(ShownCase("a", "t2", np.ones((2, 1, 1)), np.eye(4), truth, found))
        >>> calibration.regions()["wt"].error
        0.0
    """

    def __init__(self) -> None:
        self.cases: list[str] = []
        self._sums = np.zeros((3, len(REGIONS), BINS))  # of probability, of truth, of voxels

    def add(self, scan: ShownCase) -> None:
        """Add a case; one without truth or probabilities is passed over."""
        if scan.truth is None or scan.prediction is None or scan.prediction.probabilities is None:
            return
        counted = (scan.image != 0) | scan.truth.any(axis=0)
        probabilities, truth = (
            torch.from_numpy(np.ascontiguousarray(volume[:, counted], np.float32))[None]
            for volume in (scan.prediction.probabilities, scan.truth)
        )  # (1, 3, N)
        probability, frequency, voxels = (
            part[0].double().numpy() for part in calibration_binning(probabilities, truth, num_bins=BINS)
        )
        self._sums += np.nan_to_num(np.stack([probability * voxels, frequency * voxels, voxels]))
        self.cases.append(scan.case)

    def regions(self) -> dict[str, Reliability]:
        """Return the reliability of each region; nothing when no case was added."""
        return {region: _reliability(*self._sums[:, channel]) for channel, region in enumerate(REGIONS) if self.cases}


def _reliability(probability: np.ndarray, truth: np.ndarray, voxels: np.ndarray) -> Reliability:
    with np.errstate(invalid="ignore"):
        mean, frequency = probability / voxels, truth / voxels
    error = float(np.abs(probability - truth).sum() / max(voxels.sum(), 1))
    return Reliability(
        tuple(map(float, mean)), tuple(map(float, frequency)), tuple(int(count) for count in voxels), error
    )


class Recompute:
    """A run's own network, ready to segment cases as the bundle's inference does.

    Network, modalities, spacing and window are those of the model's card, all else that of inference.json.

    Args:
        weights: the run's ``model.pt``, with its card beside it.
        config_files: inference.json and overlays on it; empty for the inference.json that comes with the package.

    Raises:
        InputError: when the weights have no card, or are not those of their card.
    """

    def __init__(self, weights: Path, config_files: Sequence[str | Path] = ()) -> None:
        card = read_model(weights)
        self.modalities = card.modalities
        parser = ConfigParser()
        parser.read_config([str(path) for path in config_files or [find_configs() / "inference.json"]])
        spacing, roi_size = list(card.spacing), list(card.roi_size)
        parser.update({"modality": "+".join(card.modalities), "spacing": spacing, "roi_size": roi_size})
        self.device: torch.device = parser.get_parsed_content("device")
        self.preprocessing: Compose = parser.get_parsed_content("preprocessing")
        self.inferer: Any = parser.get_parsed_content("inferer")
        self.network = load_model(card).to(memory_format=torch.channels_last_3d).to(self.device)  # type: ignore[call-overload]
        self.invert = Invertd("pred", self.preprocessing, orig_keys="image", nearest_interp=False)

    def __call__(self, case: Case, folder: Path, label_scheme: str) -> Predicted:
        """Segment one case on its own grid.

        Args:
            case: the case.
            folder: the data set's folder.
            label_scheme: of the data set.
        """
        sections: Mapping[str, Any] = {"label_scheme": label_scheme, "test": [entry_of(case, folder)]}
        (item,) = training_items(sections, folder, "test", self.modalities, need_label=False, label_key="truth")
        data: Any = self.preprocessing(item)
        with torch.inference_mode():
            logits = self.inferer(data["image"][None].as_tensor().to(self.device), self.network)
        data["pred"] = MetaTensor(logits[0].float().sigmoid().cpu())
        whole = self.invert(data)["pred"]
        voxels, affine = canonical(whole.as_tensor().movedim(0, -1).numpy(), whole.affine.numpy())
        probabilities = voxels.transpose(3, 0, 1, 2)
        regions = nested_regions(torch.from_numpy(probabilities >= 0.5))  # as a label map holds them
        return Predicted(regions.numpy(), affine, probabilities)
