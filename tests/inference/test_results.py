"""The files of a case are what its settings ask for; the picture is cut where the tumour is largest."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from pkdr_monai.drawing import REGION_COLOURS
from pkdr_monai.files import write_json
from pkdr_monai.inference.predictor import Settings
from pkdr_monai.inference.results import _largest_cut, draw_preview, write_results
from pkdr_monai.inference.scans import Scan, find_scans
from pkdr_monai.runs.model_card import ModelCard


@pytest.fixture
def card(runs: Path) -> ModelCard:
    return ModelCard.read(runs / "pkdr_flair" / "models" / "model.json")


@pytest.fixture
def probabilities(scan: Scan) -> torch.Tensor:
    values = torch.zeros(3, *nib.load(scan.paths(["flair"])[0]).shape)
    values[:, 10:14, 10:14, 10:14] = 0.9  # 64 voxels of 0.216 mL
    values[1, 20, 20, 20] = 0.6
    return values


def test_small_pieces_stay_unless_they_are_to_go(
    scan: Scan, card: ModelCard, probabilities: torch.Tensor, tmp_path: Path
) -> None:
    volumes = {}
    for smallest in (0.0, 0.216, 0.3):
        record = write_results(tmp_path, scan, probabilities, [card], Settings(min_component=smallest))
        label = np.asarray(nib.load(tmp_path / f"{scan.name}_seg.nii.gz").dataobj)
        assert np.count_nonzero(label) * 0.216 == pytest.approx(record["volumes_ml"]["wt"]["ml"])
        volumes[smallest] = np.count_nonzero(label)
    assert volumes == {0.0: 65, 0.216: 65, 0.3: 64}


def test_only_what_is_asked_for_is_written(
    scan: Scan, card: ModelCard, probabilities: torch.Tensor, tmp_path: Path
) -> None:
    record = write_results(tmp_path, scan, probabilities, [card], Settings())
    assert {path.name for path in tmp_path.iterdir()} == set(record["outputs"])
    assert set(record["outputs"]) == {f"{scan.name}_seg.nii.gz", "preview.png"}
    asked = write_results(tmp_path, scan, probabilities, [card], Settings(save_probabilities=True, uncertainty=True))
    assert {path.name for path in tmp_path.iterdir()} == set(asked["outputs"])
    written = nib.load(tmp_path / f"{scan.name}_probabilities.nii.gz")
    np.testing.assert_allclose(written.get_fdata(), probabilities.movedim(0, -1), rtol=1e-6)


def test_a_registered_scan_gets_its_label_map_on_each_grid_that_an_image_had(
    scan: Scan, card: ModelCard, probabilities: torch.Tensor, tmp_path: Path
) -> None:
    folder, out = tmp_path / "scan", tmp_path / "out"
    out.mkdir()
    image = nib.load(scan.paths(["flair"])[0])
    folder.mkdir()
    nib.save(image, folder / "ann_flair.nii.gz")
    finer, motion = image.affine @ np.diag([0.5, 1, 1, 1]), np.eye(4)
    motion[2, 3] = 12.0  # two slices
    moved = {"shape": [80, 40, 32], "affine": (motion @ finer).tolist(), "matrix": motion.tolist()}
    write_json(folder / "prepare.json", {"registration": {"moved": {"t2": moved}}})
    (prepared,) = find_scans([folder])
    record = write_results(out, prepared, probabilities, [card], Settings())
    assert {path.name for path in out.iterdir()} == set(record["outputs"])
    label, other = (nib.load(out / f"ann_seg{name}.nii.gz") for name in ("", "_on_t2"))
    np.testing.assert_allclose(other.affine, motion @ finer)
    voxels = np.asarray(label.dataobj)
    assert voxels.any()
    places = np.rint(np.arange(80) / 2).astype(int)
    assert np.array_equal(
        np.asarray(other.dataobj), np.where(places[:, None, None] < 40, voxels[np.minimum(places, 39)], 0)
    )


def test_the_et_rule_turns_a_small_enhancing_tumour_into_necrosis_and_leaves_probabilities(
    scan: Scan, card: ModelCard, probabilities: torch.Tensor, tmp_path: Path
) -> None:
    labels = {}
    for rule in (0.0, 13_824.0, 14_000.0):  # 64 voxels of 216 mm³ are 13,824 mm³
        settings = Settings(et_rule=rule, save_probabilities=True, label_scheme="brats2018")
        record = write_results(tmp_path, scan, probabilities, [card], settings)
        label = np.asarray(nib.load(tmp_path / f"{scan.name}_seg.nii.gz").dataobj)
        labels[rule] = {int(value): int((label == value).sum()) for value in np.unique(label[label > 0])}
        assert record["volumes_ml"]["et"]["ml"] == pytest.approx(0.216 * labels[rule].get(4, 0))
        written = nib.load(tmp_path / f"{scan.name}_probabilities.nii.gz").get_fdata()
        np.testing.assert_allclose(written, probabilities.movedim(0, -1), rtol=1e-6)
    assert labels == {0.0: {2: 1, 4: 64}, 13_824.0: {2: 1, 4: 64}, 14_000.0: {1: 64, 2: 1}}


def test_the_cut_goes_through_the_largest_part() -> None:
    whole = np.zeros((5, 5, 9))
    whole[1:4, 1:4, 6] = 1
    assert _largest_cut(whole, 2) == 6
    assert _largest_cut(np.zeros((5, 5, 9)), 2) == 4


@pytest.mark.parametrize("tumour", [True, False])
def test_a_picture_is_written_with_and_without_tumour(tmp_path: Path, tumour: bool) -> None:
    image = np.random.default_rng(0).random((20, 24, 10))
    regions = np.zeros((3, 20, 24, 10), bool)
    regions[:, 8:12, 8:14, 4:7] = tumour
    draw_preview(tmp_path / "preview.png", image, regions, np.diag([1.0, 1.0, 3.0, 1.0]), ["ann", "WT 3 mL"])
    picture = imread(tmp_path / "preview.png")
    assert picture.shape == (400, 960, 4)
    drawn = np.abs(picture[..., :3] - to_rgb(REGION_COLOURS["et"])).max(axis=2) < 0.05
    assert (np.count_nonzero(drawn) > 200) == tumour  # the legend has a few
