"""N4 finds an artificial bias field in a brain, and takes most of it away."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.phantom.signal import TISSUES
from pkdr_monai.prepare.case import correct_bias
from pkdr_monai.prepare.volume import Volume
from tests.prepare.conftest import SPACING

AFFINE = np.diag([*SPACING, 1.0])
WHITE = 1 + list(TISSUES).index("white")


def _field(shape: tuple[int, ...]) -> np.ndarray:
    """Return a field that grows by half from left to right and falls by a third from back to front."""
    x, y = (np.linspace(-1, 1, size) for size in shape[:2])
    field: np.ndarray = np.exp(0.4 * x[:, None, None] - 0.4 * y[None, :, None] ** 2) * np.ones(shape)
    return field


@pytest.mark.parametrize("modality", ["t1", "flair"])
def test_an_artificial_bias_field_is_lowered(patient: PhantomCase, modality: str) -> None:
    pytest.importorskip("SimpleITK", reason="needs the extra prepare")
    image = patient.images[modality]
    bent = (image * _field(image.shape)).astype(np.float32)
    white = patient.tissue == WHITE

    def unevenness(voxels: np.ndarray) -> float:
        return float(np.std(np.log(voxels[white])))

    found = correct_bias(Volume(bent, AFFINE))
    field = np.log(bent[white] / found.volume.voxels[white])
    assert np.corrcoef(field, np.log(_field(image.shape))[white])[0, 1] > 0.7
    assert unevenness(bent) > 1.3 * unevenness(image)
    assert unevenness(found.volume.voxels) < 0.65 * unevenness(bent)
    assert np.array_equal(found.volume.voxels != 0, image != 0)
    assert found.volume.voxels.dtype == np.float32
    assert found.gain[0] < 0.85 < 1.15 < found.gain[1]


def test_the_same_brain_gives_the_same_result(patient: PhantomCase) -> None:
    pytest.importorskip("SimpleITK", reason="needs the extra prepare")
    brain = Volume(patient.images["t2"][24:56, 24:56, 8:24], AFFINE)
    first, second = correct_bias(brain), correct_bias(brain)
    assert np.array_equal(first.volume.voxels, second.volume.voxels)
    assert first.gain == second.gain


def test_without_simpleitk_a_sentence_says_what_to_install(
    patient: PhantomCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(InputError, match=r"--n4 needs SimpleITK: pip install 'pkdr-monai\[prepare\]', or leave it out"):
        correct_bias(Volume(patient.images["t2"], AFFINE))
