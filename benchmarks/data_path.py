"""From the files of a case to a crop: MONAI's chain, its PersistentDataset, and the cached cases of this package."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import Dataset, PersistentDataset
from monai.transforms import (
    CastToTyped,
    Compose,
    EnsureChannelFirstd,
    NormalizeIntensityd,
    Orientationd,
    RandSpatialCropd,
)

from benchmarks.measure import Row, interleave, print_rows
from pkdr_monai.caching import CropCachedd, PrefetchDataLoader, Preparation, cache_cases, reading_crops
from pkdr_monai.data import make_data_list, training_items
from pkdr_monai.data.transforms import LabelToRegionsd, LoadModalitiesd
from pkdr_monai.losses import PKDRLoss
from pkdr_monai.networks import Distiller, PatchVNet
from pkdr_monai.phantom import write_cohort
from pkdr_monai.system import keep_freed_memory

__all__ = ["run"]

TRAIN = Path(__file__).resolve().parents[1] / "bundle" / "configs" / "train.json"
KEYS = ("image", "label")
ROI = (128, 128, 96)
BATCH, SIDE, STEPS = 2, 64, 4  # of an epoch of the unimodal student, the cheapest step that there is
MOST_ROUNDS = 5
GOALS = {"cold load": 0.35, "disk": 0.12, "memory": 0.01}  # of the time of MONAI's chain
SIZE = 0.10  # of PersistentDataset's files
EPOCH = 1.05  # of the time of an epoch on tensors that are there already
WAIT = 0.02  # of the epoch


def whole_chain() -> Compose:
    """Return what MONAI does from the files of a BraTS case to a crop, with nothing that BraTS does not need."""
    return Compose(
        [
            LoadModalitiesd(KEYS),
            EnsureChannelFirstd(KEYS),
            CastToTyped("label", dtype=torch.uint8),
            Orientationd(KEYS, axcodes="RAS", labels=None),
            NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            RandSpatialCropd(KEYS, roi_size=ROI, random_size=False),
            LabelToRegionsd("label"),
        ]
    )


def bundle(**settings: Any) -> ConfigParser:
    """Return train.json with other settings."""
    parser = ConfigParser(json.loads(TRAIN.read_text()))
    for key, value in settings.items():
        parser[key] = value
    return parser


def run(rounds: int) -> None:
    """Measure and print."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        cohort = Path(folder, "cohort")
        write_cohort(cohort, cases=2)
        data_list = make_data_list(cohort, fractions=(1.0, 0.0, 0.0))
        items = training_items(data_list, cohort, "training")
        crops = _crops(items, Path(folder), min(rounds, MOST_ROUNDS))
        print_rows("One case of 4 x 240 x 240 x 155, and a crop of 128 x 128 x 96", crops)
        print_rows(f"An epoch of {STEPS} steps with {BATCH} x {SIDE}³", _epochs(items, Path(folder), 2 * rounds))


def _crops(items: list[dict[str, Any]], folder: Path, rounds: int) -> list[Row]:
    chain, own = whole_chain(), bundle().get_parsed_content("train#preprocessing")
    preparation = Preparation(bundle().get_parsed_content("preprocessing"))
    persistent = {"PersistentDataset": chain, "PersistentDataset of train.json": own}
    datasets = {name: PersistentDataset(items[:1], each, folder / name) for name, each in persistent.items()}
    crop = CropCachedd(KEYS, ROI)
    cases = {name: cache_cases(items[:1], preparation, name, folder / "disk")[0] for name in ("disk", "memory")}
    calls: dict[str, Callable[[], object]] = {
        "chain": lambda: chain(items[0]),
        "train.json": lambda: own(items[0]),
        "cold load": lambda: preparation(items[0]),
        **{name: partial(dataset.__getitem__, 0) for name, dataset in datasets.items()},
        **{name: partial(crop, case) for name, case in cases.items()},
    }
    timings = interleave(calls, rounds)
    others = ("train.json", *persistent)
    rows = [
        Row.of_ratio(f"{name}: time / MONAI's chain", timings, name, "chain", GOALS.get(name))
        for name in (*GOALS, *others)
    ]
    sizes = {name: _megabytes((folder / name).rglob("*")) for name in ("disk", *persistent)}
    for name, goal in zip(persistent, (SIZE, None), strict=True):
        note = f"{sizes['disk']:.1f} MB / {sizes[name]:.1f} MB"
        rows.append(Row(f"disk: size / {name}", sizes["disk"] / sizes[name], goal, "x", note))
    return rows


def _megabytes(files: Iterable[Path]) -> float:
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def _epochs(items: list[dict[str, Any]], folder: Path, rounds: int) -> list[Row]:
    torch.manual_seed(0)
    network = Distiller(PatchVNet(in_channels=1), channels=[2]).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    loss = PKDRLoss(alpha=0, beta=0)
    parser = bundle(roi_size=[SIDE] * 3)
    preparation = Preparation(parser.get_parsed_content("preprocessing"))
    transform = Compose(reading_crops(parser.get_parsed_content("augmentation")))
    many = (items * (BATCH * STEPS))[: BATCH * STEPS]

    waited: dict[str, list[float]] = {"dummy": [], "memory": [], "disk": []}  # part of each epoch

    def epoch(name: str, batches: Iterable[dict[str, torch.Tensor]]) -> Callable[[], None]:
        def call() -> None:
            begun = asked = time.perf_counter()
            waiting = 0.0
            for batch in batches:
                waiting += time.perf_counter() - asked
                optimizer.zero_grad()
                loss(network(batch["image"]), batch["label"]).backward()
                optimizer.step()
                asked = time.perf_counter()
            waited[name].append(waiting / (asked - begun))

        return call

    loaders = {
        storage: PrefetchDataLoader(
            Dataset(cache_cases(many, preparation, storage, folder / "disk"), transform),
            batch_size=BATCH,
            shuffle=True,
        )
        for storage in ("memory", "disk")
    }
    dummy = [next(iter(loaders["memory"]))] * STEPS
    sources: dict[str, Iterable[dict[str, torch.Tensor]]] = {"dummy": dummy, **loaders}
    timings = interleave({name: epoch(name, batches) for name, batches in sources.items()}, rounds)
    rows = [
        Row.of_ratio(f"{name}: time / on one batch that is there", timings, name, "dummy", EPOCH) for name in loaders
    ]
    rows += [
        Row(f"{name}: waiting for data", statistics.median(waited[name]), WAIT, "of the epoch") for name in loaders
    ]
    return rows
