from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.baselines import UHVED, ClassesToRegions
from pkdr_monai.data import find_cases
from pkdr_monai.errors import InputError
from pkdr_monai.networks import MonaiVNet, PatchVNet
from pkdr_monai.regularizers import BoundaryVNet
from pkdr_monai.reporting.computed import Recompute
from tests.conftest import SHAPE

from .conftest import save_model


def test_the_runs_own_network_segments_a_case_on_its_own_grid(make_run: Callable[..., Path], cohort: Path) -> None:
    network = Recompute(make_run(weights=True) / "models" / "model.pt")
    assert network.modalities == ("t2",)
    predicted = network(find_cases(cohort).cases[0], cohort, "brats2018")
    assert predicted.probabilities is not None
    assert predicted.regions.shape == predicted.probabilities.shape == (3, *SHAPE)
    tc, wt, et = predicted.probabilities >= 0.5
    np.testing.assert_array_equal(predicted.regions, [tc | et, wt | tc | et, et])
    assert 0 < float(predicted.probabilities.max()) <= 1


@pytest.mark.parametrize(
    "build",
    [
        lambda: PatchVNet(1, init_filters=2, patch_head=True),
        pytest.param(lambda: MonaiVNet(1), marks=pytest.mark.slow),
        lambda: BoundaryVNet(1, init_filters=2),
        lambda: UHVED(["t2"], init_filters=2),
        lambda: ClassesToRegions(PatchVNet(1, out_channels=4, init_filters=2)),
    ],
    ids=["teacher", "monai_vnet", "boundary", "uhved", "softmax"],
)
def test_any_network_is_known_by_its_card_and_needs_no_option(
    build: Callable, make_run: Callable[..., Path], cohort: Path
) -> None:
    folder, network = make_run(weights=True), build()
    save_model(folder, network, ("t2",))
    predicted = Recompute(folder / "models" / "model.pt")(find_cases(cohort).cases[0], cohort, "brats2018")
    assert predicted.regions.shape == (3, *SHAPE)


def test_weights_without_a_card_are_refused(make_run: Callable[..., Path]) -> None:
    folder = make_run(weights=True)
    (folder / "models" / "model.json").unlink()
    with pytest.raises(InputError, match=r"model\.json beside it, which says what it is: evaluate it first"):
        Recompute(folder / "models" / "model.pt")
