"""A trained model on real scans: does the fast way segment as MONAI's own sliding window does, and as well?

``python -m benchmarks.agreement --run RUN --dataset_dir BraTS2018 --data_list_file brats2018.json`` segments the
validation cases in four ways and compares them, with each other and with the truth. It is no part of
``python -m benchmarks``, which has no patients' data.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, CropForegroundd

from benchmarks.inference import ROI, dice, forms, sliding_window
from benchmarks.measure import Row, Timings, interleave, print_rows
from pkdr_monai.data import load_data_list, training_items
from pkdr_monai.data.preprocessing import preprocessing
from pkdr_monai.networks import build_network, load_weights
from pkdr_monai.regions import REGIONS, label_to_regions
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.runs.models import read_model
from pkdr_monai.system import keep_freed_memory

PAIRS = (
    ("default", "exact", "default / the same windows in float32"),
    ("default", "monai 0.25", "default / MONAI's sliding window, overlap 0.25"),
    ("fast", "monai 0.25", "fast / MONAI's sliding window, overlap 0.25"),
    ("monai 0.5", "monai 0.25", "MONAI's sliding window, overlap 0.5 / 0.25"),
)
DICE_CHANGE = 0.005


def main() -> None:
    """Segment, compare and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agreement", description=__doc__)
    parser.add_argument("--run", required=True, help="folder of a training")
    parser.add_argument("--dataset_dir", required=True)
    parser.add_argument("--data_list_file", required=True)
    parser.add_argument("--section", default="validation")
    parser.add_argument("--roi_size", type=int, nargs=3, default=ROI, help="window in voxels (%(default)s)")
    arguments = parser.parse_args()
    keep_freed_memory()  # as pkdr predict does
    card = read_model(arguments.run)
    data_list = load_data_list(arguments.data_list_file)
    items = training_items(data_list, arguments.dataset_dir, arguments.section, card.modalities)
    found = [_case(card, item, str(data_list["label_scheme"]), arguments.roi_size) for item in items]
    rows = []
    for one, other, what in PAIRS:
        ratios = [timings.ratio(one, other) for timings, _, _ in found]
        disturbed = " (disturbed)" if any(timings.disturbed for timings, _, _ in found) else ""
        rows.append(
            Row(f"{what}: time", statistics.median(ratios), None, "x", f"median of {len(found)} cases{disturbed}")
        )
        for channel, region in enumerate(REGIONS):
            agreement = statistics.fmean(dice(masks[one][channel], masks[other][channel]) for _, masks, _ in found)
            first, second = (
                statistics.fmean(dice(masks[name][channel], truth[channel]) for _, masks, truth in found)
                for name in (one, other)
            )
            note = f"Dice to the truth {first:.4f}, {second:.4f}"
            rows.append(Row(f"{what}: 1 - Dice between them, {region.upper()}", 1 - agreement, None, "", note))
            rows.append(Row(f"{what}: loss of Dice to the truth, {region.upper()}", second - first, DICE_CHANGE))
    print_rows(f"{card.name} on {len(found)} {arguments.section} cases of {data_list['name']}", rows)


def _case(
    card: ModelCard, item: dict[str, Any], scheme: str, roi_size: Sequence[int]
) -> tuple[Timings, dict[str, torch.Tensor], torch.Tensor]:
    """Return times, masks by name and the truth of one case, on the network's grid."""
    network = load_weights(build_network(card.network), Path(str(card.weights))).eval()
    data = _loading(card.spacing)(item)
    image = torch.as_tensor(data["image"])
    truth = label_to_regions(torch.as_tensor(data["label"]), scheme) > 0
    calls = forms(network, image, roi_size)
    del calls["monai"]
    calls |= {f"monai {overlap}": sliding_window(network, image, roi_size, overlap) for overlap in (0.25, 0.5)}
    masks: dict[str, torch.Tensor] = {}

    def kept(name: str) -> Callable[[], object]:
        return lambda: masks.__setitem__(name, calls[name]() >= 0.5)

    timings = interleave({name: kept(name) for name in calls}, rounds=1, warmup=False)
    return timings, masks, truth


def _loading(spacing: Sequence[float]) -> Compose:
    """Return the bundle's preprocessing without its crop: MONAI's sliding window goes over the whole volume."""
    return Compose([each for each in preprocessing(spacing).transforms if not isinstance(each, CropForegroundd)])


if __name__ == "__main__":
    main()
