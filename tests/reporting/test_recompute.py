from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pkdr_monai.data import find_cases
from pkdr_monai.errors import InputError
from pkdr_monai.networks import PatchVNet
from pkdr_monai.reporting.computed import Recompute
from pkdr_monai.reporting.run import read_run
from tests.conftest import SHAPE


def test_the_runs_own_network_segments_a_case_on_its_own_grid(make_run: Callable[..., Path], cohort: Path) -> None:
    network = Recompute(read_run(make_run(weights=True)))
    assert network.modalities == ("t2",)
    predicted = network(find_cases(cohort).cases[0], cohort, "brats2018")
    assert predicted.probabilities is not None
    assert predicted.regions.shape == predicted.probabilities.shape == (3, *SHAPE)
    np.testing.assert_array_equal(predicted.regions, predicted.probabilities > 0.5)
    assert 0 < float(predicted.probabilities.max()) <= 1


def test_a_teacher_brings_its_patch_head(make_run: Callable[..., Path]) -> None:
    folder = make_run(weights=True)
    record = json.loads((folder / "run.json").read_text())
    record["settings"]["modalities"] = ["t1", "t1ce", "t2", "flair"]
    (folder / "run.json").write_text(json.dumps(record))
    torch.save(PatchVNet(4, init_filters=3, patch_head=True).state_dict(), folder / "models" / "model.pt")
    network = Recompute(read_run(folder)).network
    assert network.stem[0].weight.shape[:2] == (3, 4)
    assert network.patch_head is not None


def test_another_network_has_to_be_configured(make_run: Callable[..., Path]) -> None:
    folder = make_run(weights=True)
    record = json.loads((folder / "run.json").read_text())
    record["settings"]["network"] = "MonaiVNet"
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"a MonaiVNet, PatchVNet is configured: name the configs with --config_file"):
        Recompute(read_run(folder))


def test_run_that_does_not_tell_its_spacing_is_refused(make_run: Callable[..., Path]) -> None:
    folder = make_run(weights=True)
    (folder / "run.json").write_text(json.dumps({"settings": {"modalities": ["t2"]}}))
    with pytest.raises(InputError, match=r"does not tell spacing, roi_size"):
        Recompute(read_run(folder))
