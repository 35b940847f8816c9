"""Checks, training, inference.json, `pkdr predict` and caching read one header alike: the same affine, or a refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser

from pkdr_monai.caching.preparation import Preparation
from pkdr_monai.data.cases import Case
from pkdr_monai.data.checks import check_cases
from pkdr_monai.data.headers import read_header, read_voxels
from pkdr_monai.data.preprocessing import preprocessing
from pkdr_monai.data.reader import ScanReader
from pkdr_monai.data.transforms import LoadModalitiesd
from pkdr_monai.errors import InputError, plain_error_in
from pkdr_monai.inference.scans import find_scans

from .test_geometry import CONTRADICTIONS, ONE_GEOMETRY, Stated

INFERENCE = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "inference.json"
HEADERS = {**CONTRADICTIONS, **{name: stated for name, (stated, _) in ONE_GEOMETRY.items()}}


def inference_preprocessing() -> Any:
    parser = ConfigParser(json.loads(INFERENCE.read_text()))
    parser["modality"], parser["force"], parser["spacing"] = "t2", True, [1.0, 1.0, 1.0]
    return parser.get_parsed_content("preprocessing")


def voxelled(stated: Stated, folder: Path) -> Path:
    """Write a header with voxels that are no label map, in a volume of 6x7x8."""
    path = stated.write(folder / "a_t2.nii")
    voxels = np.zeros((6, 7, 8), "<i2")
    voxels[:5, 1:6, 1:7] = np.random.default_rng(0).integers(50, 200, (5, 5, 6))
    content = bytearray(path.read_bytes())
    content[-voxels.nbytes :] = voxels.tobytes(order="F")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", HEADERS)
def test_all_doors_agree(name: str, tmp_path: Path) -> None:
    """Thirty headers: the affine and the voxels, or a refusal with one sentence."""
    path = voxelled(HEADERS[name], tmp_path)
    (scan,) = find_scans([tmp_path])
    item = {"case": "a", "image": [str(path)]}
    spacing = (1.0, 1.0, 1.0)
    case = Case("a", {"t2": "a_t2.nii"})
    problems = [each.what for each in check_cases([case], tmp_path, "brats2018", ["t2"], False, voxels=False)]
    doors = {
        "training": lambda: preprocessing(spacing)(item)["image"],
        "inference.json": lambda: inference_preprocessing()(item)["image"],
        "predict": lambda: preprocessing(spacing, inference=True)(scan.item(["t2"]))["image"],
    }
    cached = Preparation(preprocessing(spacing))
    if name in CONTRADICTIONS:
        (what,) = problems
        assert "states two geometries" in what
        for door in (*doors.values(), lambda: cached(item)):
            with pytest.raises((InputError, RuntimeError)) as raised:  # MONAI's Compose wraps errors
                door()
            assert "states two geometries" in str(plain_error_in(raised.value))
        return
    assert not problems
    header = read_header(path)
    loaded = LoadModalitiesd("image")(item)["image"]
    np.testing.assert_array_equal(loaded.affine.numpy(), header.affine)
    np.testing.assert_array_equal(loaded.numpy(), read_voxels(path))
    images = {door: load() for door, load in doors.items()}
    np.testing.assert_array_equal(images["predict"].numpy(), images["inference.json"].numpy())
    np.testing.assert_array_equal(images["predict"].affine.numpy(), images["inference.json"].affine.numpy())
    turns = [images[door].affine.numpy()[:3, :3] for door in ("training", "predict")]
    np.testing.assert_allclose(*turns, atol=1e-9)  # the grid's place may differ by parts of a voxel: SteadySpacingd
    np.testing.assert_allclose(cached(item)["image"], images["training"].numpy(), atol=2e-3)


def test_a_chosen_geometry_is_used_for_all_files_of_an_entry(tmp_path: Path) -> None:
    path = voxelled(CONTRADICTIONS["pixdim never written"], tmp_path)
    entry = {"case": "a", "image": [str(path), str(path)], "geometry": "sform"}
    assert LoadModalitiesd("image")(entry)["image"].pixdim.tolist() == [2, 2, 2]
    assert LoadModalitiesd("image")({**entry, "geometry": "pixdim"})["image"].pixdim.tolist() == [1, 1, 1]


def test_files_a_tenth_of_a_voxel_apart_get_one_affine_and_others_are_refused(tmp_path: Path) -> None:
    voxels, moved = np.ones((4, 5, 6), np.int16), np.eye(4)
    for name, millimetres in (("a", 0.0), ("b", 0.06), ("c", 0.3)):
        moved[0, 3] = millimetres
        nib.save(nib.Nifti1Image(voxels, moved), tmp_path / f"{name}.nii")
    paths = {name: str(tmp_path / f"{name}.nii") for name in "abc"}
    entry = LoadModalitiesd(["image", "label"])({"image": [paths["a"], paths["b"]], "label": paths["b"]})
    np.testing.assert_array_equal(entry["image"].affine, np.eye(4))
    np.testing.assert_array_equal(entry["label"].affine, np.eye(4))
    for further in ({"image": [paths["a"], paths["c"]]}, {"image": [paths["a"]], "label": paths["c"]}):
        with pytest.raises(
            InputError, match=r"c\.nii has another affine than .*a\.nii: its voxels lie up to 0\.3 mm off"
        ):
            LoadModalitiesd(["image", "label"], allow_missing_keys=True)(further)


@pytest.mark.parametrize("shape", [(4, 5, 6, 1), (4, 5, 6, 1, 1)])
def test_trailing_axes_of_1_are_left_out_of_images_and_labels(tmp_path: Path, shape: tuple[int, ...]) -> None:
    voxels = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    nib.save(nib.Nifti1Image(voxels.reshape(shape), np.eye(4)), tmp_path / "a.nii.gz")
    path = str(tmp_path / "a.nii.gz")
    entry = LoadModalitiesd(["image", "label"])({"image": [path, path], "label": path})
    np.testing.assert_array_equal(entry["image"].numpy(), np.stack([voxels, voxels]))
    np.testing.assert_array_equal(entry["label"].numpy(), voxels)
    reader = ScanReader()
    np.testing.assert_array_equal(reader.get_data(reader.read(path))[0], voxels)
