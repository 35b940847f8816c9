"""Predictions of a training run, made again: an evaluation keeps scores, not segmentations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from pkdr_monai.data import training_items
from pkdr_monai.data.cases import Case
from pkdr_monai.data.entries import entry_of
from pkdr_monai.errors import InputError
from pkdr_monai.networks import load_weights
from pkdr_monai.networks.weights import read_tensors
from pkdr_monai.reporting.run import Run
from pkdr_monai.reporting.scans import Predicted, canonical
from pkdr_monai.runs.record import recorded_input
from pkdr_monai.workflow import find_configs

__all__ = ["Recompute"]


class Recompute:
    """A run's own network, ready to segment cases as the bundle's inference does.

    Preprocessing, window and network are those of inference.json. The run's record gives modalities, spacing and
    window, its weights the number of filters; what else differs, such as another network, has to be said by overlays.

    Args:
        run: a training run, with its record and its weights.
        config_files: inference.json and overlays on it; empty for the inference.json that comes with the package.

    Raises:
        InputError: when the run has no record, or its weights do not fit the network.
    """

    def __init__(self, run: Run, config_files: Sequence[str | Path] = ()) -> None:
        self.modalities, spacing, roi_size = recorded_input(run.folder / "run.json", run.settings)
        parser = ConfigParser()
        parser.read_config([str(path) for path in config_files or [find_configs() / "inference.json"]])
        parser.update({"modality": "+".join(self.modalities), "spacing": spacing, "roi_size": roi_size})
        parser.update(_network_overrides(run, parser))
        self.device: torch.device = parser.get_parsed_content("device")
        self.preprocessing: Compose = parser.get_parsed_content("preprocessing")
        self.inferer: Any = parser.get_parsed_content("inferer")
        self.network = load_weights(parser.get_parsed_content("network"), run.weights).eval()
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
        return Predicted(probabilities > 0.5, affine, probabilities)


def _network_overrides(run: Run, parser: ConfigParser) -> dict[str, Any]:
    """Return what the record and the weights say about the network."""
    overrides: dict[str, Any] = {"checkpoint": str(run.weights)}
    configured = str(parser["network_def"]["_target_"]).rpartition(".")[2]
    if configured != run.settings.get("network", configured):
        raise InputError(
            f"the run's network is a {run.settings['network']}, {configured} is configured: name the "
            "configs with --config_file inference.json,OVERLAY, or a folder of segmentations with --predictions."
        )
    weights = read_tensors(run.weights)
    filters = [value.shape[0] for name, value in weights.items() if name.endswith("stem.0.weight")]
    if filters:
        overrides["init_filters"] = int(filters[0])
    if any(name.startswith("patch_head.") for name in weights):  # a teacher's
        overrides["network_def#patch_head"] = True
    return overrides
