"""A model is loaded as its card says, or refused; its probabilities come back nested, on the scan's grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.inference.backends import Engine
from pkdr_monai.inference.predictor import (
    FLIPS,
    Settings,
    aligned_overlap,
    brain_probabilities,
    load_predictor,
    scan_probabilities,
)
from pkdr_monai.inference.scans import Scan, find_scans
from pkdr_monai.runs.model_card import ModelCard, card_path

EXACT = Engine("torch", "float32")


def test_probabilities_are_nested_on_the_scans_grid(scan: Scan, runs: Path) -> None:
    predictor = load_predictor(ModelCard.read(runs / "pkdr_flair" / "models" / "model.json"), EXACT)
    probabilities = scan_probabilities(scan, [predictor], Settings())
    assert probabilities.shape == (3, *nib.load(scan.paths(["flair"])[0]).shape)
    assert probabilities.dtype == torch.float32
    tc, wt, et = probabilities
    assert bool((wt >= tc).all() and (tc >= et).all())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_image_that_is_stored_flipped_is_segmented_alike(scan: Scan, runs: Path, tmp_path: Path, axis: int) -> None:
    image = nib.load(scan.paths(["flair"])[0])
    affine = np.diag([5 / 6, 5.5 / 6, 7 / 6, 1]) @ image.affine  # not the network's 6 mm
    flip = np.eye(4)
    flip[axis, axis], flip[axis, 3] = -1, image.shape[axis] - 1
    predictor = load_predictor(ModelCard.read(runs / "pkdr_flair" / "models" / "model.json"), EXACT)
    found = []
    for name, voxels, to_world in (
        ("a", np.asarray(image.dataobj), affine),
        ("b", np.flip(image.dataobj, axis), affine @ flip + np.pad(np.full((3, 4), 1e-6), ((0, 1), (0, 0)))),
    ):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(voxels, to_world), tmp_path / name / f"{name}_flair.nii.gz")
        found.append(scan_probabilities(find_scans([tmp_path / name])[0], [predictor], Settings()))
    torch.testing.assert_close(found[1].flip(axis + 1), found[0], rtol=0, atol=1e-3)


def test_several_models_are_averaged(scan: Scan, runs: Path) -> None:
    cards = [ModelCard.read(runs / name / "models" / "model.json") for name in ("pkdr_flair", "pkdr_t2")]
    one, other = (load_predictor(card, EXACT) for card in cards)
    mean = (one.probabilities(scan, Settings()) + other.probabilities(scan, Settings())) / 2
    both = scan_probabilities(scan, [one, other], Settings())
    torch.testing.assert_close(both[2], mean[2])  # ET is the innermost: nesting leaves it


def test_low_precision_changes_little(scan: Scan, runs: Path) -> None:
    card = ModelCard.read(runs / "pkdr_flair" / "models" / "model.json")
    exact, low = (
        load_predictor(card, engine).probabilities(scan, Settings()) for engine in (EXACT, Engine("torch", "bfloat16"))
    )
    assert float((exact - low).abs().mean()) < 0.02


def test_weights_that_are_not_the_cards_are_refused(tmp_path: Path, make_model: Callable[..., ModelCard]) -> None:
    card = make_model(tmp_path / "one")
    torch.save({name: value + 1 for name, value in torch.load(card.weights).items()}, card.weights)
    with pytest.raises(InputError, match="is not the file that its card describes"):
        load_predictor(card, EXACT)


def test_a_card_of_another_channel_count_is_refused(tmp_path: Path, make_model: Callable[..., ModelCard]) -> None:
    card = make_model(tmp_path / "one")
    with pytest.raises(InputError, match="names the modalities t1, flair, but its network takes 1 channels"):
        load_predictor(replace(card, modalities=("t1", "flair"), weights=card.weights), EXACT)
    content = json.loads(card_path(card.weights).read_text())
    content["network"]["in_channels"], content["modalities"] = 2, ["t1", "flair"]
    card_path(card.weights).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"stem\.0\.weight is \(2, 1, 3, 3, 3\) there and \(2, 2, 3, 3, 3\) here"):
        load_predictor(ModelCard.read(card_path(card.weights)), EXACT)


def test_truncated_weights_are_refused(tmp_path: Path, make_model: Callable[..., ModelCard]) -> None:
    card = make_model(tmp_path / "one")
    card.weights.write_bytes(card.weights.read_bytes()[:2000])
    with pytest.raises(InputError, match="damaged or incomplete"):
        load_predictor(card, EXACT)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"use": "worst"}, "choose among best, all"),
        ({"blend": "mean"}, "choose among constant, gaussian"),
        ({"precision": "int8"}, "choose among auto, float32, bfloat16"),
        ({"backend": "tensorrt"}, "choose among auto, torch, onnx, openvino"),
        ({"window_overlap": 1.0}, "below 1, got 1"),
        ({"window_overlap": float("nan")}, "below 1, got nan"),
        ({"min_component": -1.0}, "0 or more, got -1"),
        ({"et_rule": -1.0}, "0 or more, got -1"),
        ({"label_scheme": "brats"}, "unknown label_scheme 'brats'"),
    ],
)
def test_a_value_out_of_range_is_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Settings(**values)


def test_nothing_is_removed_or_forced_unless_somebody_says_so() -> None:
    settings = Settings()
    assert settings.min_component == 0
    assert (settings.force, settings.fast, settings.flips) == (False, False, False)
    assert settings.as_dict()["use"] == "best"


def test_the_et_rule_is_in_the_record_only_where_it_is_on_so_that_keys_of_cases_stay() -> None:
    assert "et_rule" not in Settings().as_dict()
    assert Settings(et_rule=500).as_dict() == {**Settings().as_dict(), "et_rule": 500}


class Recorder:
    """A backend that keeps what it saw and answers with the image itself."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(image)
        return image.expand(-1, 3, -1, -1, -1).clone()


def coordinates(*shape: int) -> torch.Tensor:
    """Return an image whose voxels are their own first coordinate."""
    return torch.arange(shape[0]).float()[:, None, None].expand(shape)[None].clone()


@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5, 0.6, 0.9])
@pytest.mark.parametrize("roi_size", [(128, 128, 96), (64, 64, 64), (32, 48, 16)])
def test_every_window_starts_at_a_whole_patch(overlap: float, roi_size: tuple[int, int, int]) -> None:
    backend = Recorder()
    image = coordinates(272, 16, 16)
    brain_probabilities(image, backend, (roi_size[0], 16, 16), Settings(window_overlap=overlap))
    starts = [float(window.min()) for window in backend.seen]
    assert starts[0] == 0
    assert all(start % 16 == 0 for start in starts)
    step = min(later - start for start, later in pairwise(starts))
    assert step <= max(16, roi_size[0] * (1 - overlap))


def test_half_an_overlap_is_exactly_that_of_the_bundle() -> None:
    steps = [
        int(side * (1 - part)) for side, part in zip((128, 128, 96), aligned_overlap((128, 128, 96), 0.5), strict=True)
    ]
    assert steps == [64, 64, 48]


def test_a_fast_one_is_a_single_pass() -> None:
    backend = Recorder()
    brain_probabilities(coordinates(64, 32, 32), backend, (32, 32, 32), Settings(fast=True))
    assert [tuple(image.shape) for image in backend.seen] == [(1, 1, 64, 32, 32)]


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
def test_windows_give_back_what_a_single_pass_does(blend: str) -> None:
    image = torch.randn(1, 48, 32, 32, generator=torch.Generator().manual_seed(0))
    windows = brain_probabilities(image, Recorder(), (32, 32, 32), Settings(blend=blend))
    torch.testing.assert_close(windows, image.sigmoid().expand(3, -1, -1, -1))


def test_all_eight_mirror_images_are_averaged() -> None:
    backend = Recorder()
    image = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    result = brain_probabilities(image, backend, (16, 16, 16), Settings(fast=True, flips=True))
    assert len(backend.seen) == len(set(FLIPS)) == 8
    assert len({float(seen[0, 0, 0, 0, 0]) for seen in backend.seen}) == 8
    torch.testing.assert_close(result[0], image[0].sigmoid())  # a backend without a sense of direction


def test_the_average_is_of_probabilities() -> None:
    answers = iter([8.0] * 4 + [-8.0] * 4)
    result = brain_probabilities(
        torch.zeros(1, 16, 16, 16),
        lambda image: torch.full((1, 3, 16, 16, 16), next(answers)),
        (16, 16, 16),
        Settings(fast=True, flips=True),
    )
    torch.testing.assert_close(result, torch.full((3, 16, 16, 16), 0.5))
