"""Segment a scan, or a folder of them, whatever its grid and whatever is wrong with it."""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from nibabel.processing import resample_from_to
from nibabel.spaces import vox2out_vox
from torch.nn.functional import avg_pool3d

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.inference import Settings, predict
from pkdr_monai.inference.cohort import Shard
from pkdr_monai.inference.scans import Scan
from pkdr_monai.inference.statements import NOTE
from pkdr_monai.phantom import write_cohort
from pkdr_monai.runs.model_card import ModelCard

CONFIG = Path(__file__).resolve().parents[2] / "bundle" / "configs" / "inference.json"
EXACT = Settings(precision="float32")
ROOT = Path(__file__).resolve().parents[2]


def labels(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def flair_of(scan: Scan) -> Path:
    return scan.paths(["flair"])[0]


def segmentation(output: Path, case: str) -> Path:
    return output / case / f"{case}_seg.nii.gz"


def on_another_grid(source: Path, path: Path, voxel_sizes: tuple[float, float, float]) -> nib.Nifti1Image:
    """Write an image with its axes in another order and direction, and with anisotropic voxels."""
    image = nib.load(source)
    coarse = resample_from_to(image, vox2out_vox(image, voxel_sizes), order=1)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(coarse.affine), nib.orientations.axcodes2ornt(("S", "L", "A"))
    )
    turned = coarse.as_reoriented(turn)
    moved = nib.Nifti1Image(turned.get_fdata(dtype=np.float32), turned.affine)
    nib.save(moved, path)
    return moved


@pytest.mark.parametrize("modality", ["flair", "t2"])
def test_labels_are_those_of_the_bundles_inference(cohort: Path, runs: Path, tmp_path: Path, modality: str) -> None:
    card = ModelCard.read(runs / f"pkdr_{modality}" / "models" / "model.json")
    workflow = ConfigWorkflow(
        config_file=str(CONFIG),
        workflow_type="infer",
        logging_file=False,
        **{"dataset_dir": str(cohort), "modality": modality, "checkpoint": str(card.weights)},
        **{"spacing": list(card.spacing), "roi_size": list(card.roi_size), "init_filters": 2},
        output_dir=str(tmp_path / "bundle"),
    )
    workflow.initialize()
    workflow.parser.get_parsed_content("evaluator").run()
    record = predict(cohort, tmp_path / "package", model=card.weights, settings=EXACT)
    for case in record["cases"]:
        name = case["case"]
        expected = nib.load(tmp_path / "bundle" / f"{name}_{modality}_seg.nii.gz")
        written = nib.load(segmentation(tmp_path / "package", name))
        np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
        np.testing.assert_allclose(written.affine, expected.affine)
        assert written.get_data_dtype() == expected.get_data_dtype() == np.uint8
        assert {0, 2, 4} <= set(np.unique(written.dataobj))


class Bright:
    """A backend that calls the brightest voxels tumour, blurred: where they are does not depend on the grid."""

    def __init__(self, *_: object) -> None:
        pass

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        blurred = avg_pool3d(image, 3, 1, 1)
        return (10 * (blurred - blurred.max() / 2)).expand(-1, 3, -1, -1, -1).clone()


def with_a_bright_lump(source: Path, path: Path) -> Path:
    """Write an image whose brightest voxels are a ball to one side, which no resampling and no noise moves."""
    image = nib.load(source)
    voxels = image.get_fdata(dtype=np.float32)
    brain = np.argwhere(voxels > 0)
    low, high = brain.min(axis=0), brain.max(axis=0)
    centre = low + (high - low) * [0.35, 0.62, 0.6]  # in no axis the middle
    distance = np.linalg.norm(np.moveaxis(np.indices(voxels.shape), 0, -1) - centre, axis=-1)
    voxels[(distance < 9) & (voxels > 0)] += 3 * voxels.max()
    nib.save(nib.Nifti1Image(voxels, image.affine), path)
    return path


def assert_segmented_on_its_own_grid(source: Path, models: Path, folder: Path, sizes: tuple[float, ...]) -> None:
    """Move an image to another grid, segment it there and where it was, and compare."""
    moved = on_another_grid(source, folder / "odd_t2.nii.gz", sizes)
    shutil.copy(source, folder / "still_t2.nii.gz")
    images = [folder / "odd_t2.nii.gz", folder / "still_t2.nii.gz"]
    predict(images, folder, models=[models], settings=Settings(fast=True))  # one window: a twentieth of all
    written, plain = (nib.load(segmentation(folder, name)) for name in ("odd", "still"))
    assert written.shape == moved.shape != plain.shape
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_allclose(written.affine, moved.affine)
    np.testing.assert_allclose(written.header.get_zooms(), moved.header.get_zooms(), rtol=1e-5)
    truth = np.asarray(plain.dataobj) > 0
    back = np.asarray(resample_from_to(written, plain, order=0).dataobj) > 0
    dice, *mirrored = (
        2 * (part & truth).sum() / (part.sum() + truth.sum())
        for part in (back, back[::-1], back[:, ::-1], back[:, :, ::-1])
    )
    assert dice > 0.8  # labels are put on the other grid and back, by the nearest voxel each time
    assert dice > 1.5 * max(mirrored)


def test_a_scan_of_any_orientation_and_spacing_is_segmented_on_its_own_grid(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkdr_monai.inference.predictor.TorchBackend", Bright)
    (case,) = write_cohort(tmp_path / "fine", cases=1, shape=(80, 80, 54), spacing=(3.0, 3.0, 3.0), seed=3)
    source = with_a_bright_lump(case / f"{case.name}_t2.nii.gz", tmp_path / "lump_t2.nii.gz")
    assert_segmented_on_its_own_grid(source, runs, tmp_path, (4.5, 2.0, 2.5))


def test_regions_contain_each_other_and_probabilities_agree_with_the_labels(
    scan: Scan, runs: Path, tmp_path: Path
) -> None:
    settings = Settings(save_probabilities=True, uncertainty=True, label_scheme="brats2023")
    record = predict(named={"flair": flair_of(scan)}, output=tmp_path, models=[runs], settings=settings)
    folder = tmp_path / scan.name
    probabilities = nib.load(folder / f"{scan.name}_probabilities.nii.gz").get_fdata()
    tc, wt, et = np.moveaxis(probabilities, -1, 0)
    assert (tc >= et).all()
    assert (wt >= tc).all()
    label = labels(folder / f"{scan.name}_seg.nii.gz")
    np.testing.assert_array_equal(label == 3, et >= 0.5)
    np.testing.assert_array_equal(label > 0, wt >= 0.5)
    entropy = nib.load(folder / f"{scan.name}_uncertainty.nii.gz").get_fdata()
    assert 0 <= entropy.min() <= entropy.max() <= 1
    assert entropy.max() > 0.9
    assert set(record["cases"][0]["outputs"]) == {path.name for path in folder.iterdir()} - {"record.json"}


def test_what_is_found_missing_run_and_expected_is_said(scan: Scan, runs: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    predict(named={"t2": scan.paths(["t2"])[0]}, output=tmp_path, models=[runs], log=lines.append)
    text = "\n".join(lines)
    sha = ModelCard.read(runs / "pkdr_t2" / "models" / "model.json").sha256
    for part in (
        "found t2; missing: t1, t1ce, flair",
        f"model: pkdr_t2, version 0.1.0, sha256 {sha[:12]}, sees t2",
        "on 2 test cases of cohort (mean ± standard deviation): WT 0.70 ± 0.00, TC 0.70 ± 0.00, ET 0.40 ± 0.14",
        "do not trust ET (enhancing tumour) of pkdr_t2",
        "python -m monai.bundle run evaluating --config_file bundle/configs/inference.json --modality t2",
        "done: 1, skipped: 0, failed: 0",
        NOTE,
    ):
        assert part in text
    assert "do not trust WT" not in text


def test_all_four_take_the_teacher_and_all_students_are_averaged_on_demand(
    scan: Scan, runs: Path, tmp_path: Path
) -> None:
    models = {}
    for use in ("best", "all"):
        record = predict(scan.folder, tmp_path / use, models=[runs], settings=Settings(use=use))
        models[use] = [model["name"] for model in record["models"]]
    assert models == {"best": ["teacher"], "all": ["pkdr_flair", "pkdr_t2"]}


def test_done_ones_are_skipped_until_something_changes(
    scan: Scan, runs: Path, tmp_path: Path, make_model: Callable[..., ModelCard]
) -> None:
    image = tmp_path / "ann_flair.nii.gz"
    shutil.copy(flair_of(scan), image)

    def status(settings: Settings | None = None, models: Path = runs) -> str:
        return predict(image, tmp_path / "out", models=[models], settings=settings)["cases"][0]["status"]

    assert [status(), status()] == ["done", "skipped"]
    assert [status(Settings(fast=True)), status(Settings(fast=True))] == ["done", "skipped"]
    changed = nib.load(image)
    nib.save(nib.Nifti1Image(np.asarray(changed.dataobj) // 2, changed.affine), image)
    assert status(Settings(fast=True)) == "done"
    (tmp_path / "out" / "ann" / "ann_seg.nii.gz").unlink()
    assert status(Settings(fast=True)) == "done"
    make_model(tmp_path / "other" / "pkdr_flair", patch_size=8)
    assert status(Settings(fast=True), tmp_path / "other") == "done"


def test_one_bad_case_does_not_stop_the_rest(cohort: Path, runs: Path, tmp_path: Path) -> None:
    folder, lines = tmp_path / "scans", []
    for case in cohort.glob("*/*"):
        shutil.copytree(case, folder / case.name)
    first, second = sorted(path.name for path in folder.iterdir())
    (folder / first / f"{first}_t1.nii.gz").write_text("this is text")
    counted: list[tuple[int, int]] = []
    record = predict(
        folder, tmp_path / "out", models=[runs], log=lines.append, progress=lambda *count: counted.append(count)
    )
    assert [case["status"] for case in record["cases"]] == ["failed", "done"]
    assert record["status"] == "failed"
    assert json.loads((tmp_path / "out" / "run.json").read_text())["summary"] == {"done": 1, "skipped": 0, "failed": 1}
    assert counted == [(1, 2), (2, 2)]
    assert not (tmp_path / "out" / first).exists()
    assert segmentation(tmp_path / "out", second).exists()
    assert any(line.startswith(f"  failed: {first}: case {first}, ") and "gzip" in line for line in lines)


@pytest.mark.parametrize("record", [False, True])
def test_nothing_is_written_beside_the_scan_itself(
    scan: Scan, runs: Path, tmp_path: Path, record: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "ann" / "ann_flair.nii.gz"
    image.parent.mkdir()
    shutil.copy(flair_of(scan), image)
    drawn = image.with_name("ann_seg.nii.gz")
    drawn.write_bytes(b"drawn by hand")
    if record:
        (image.parent / "record.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "ann")
    (case,) = predict(tmp_path, Path(".."), models=[runs], settings=EXACT)["cases"]
    assert case["status"] == "failed"
    assert case["kind"] == "input"
    assert "which holds ann_flair.nii.gz, and no prediction wrote that: choose another --output" in case["error"]
    assert drawn.read_bytes() == b"drawn by hand"


def test_a_label_that_no_prediction_wrote_stays(scan: Scan, runs: Path, tmp_path: Path) -> None:
    drawn = segmentation(tmp_path, scan.name)
    drawn.parent.mkdir()
    drawn.write_bytes(b"drawn by hand")
    paths = scan.paths(["flair"])
    (case,) = predict(paths, tmp_path, models=[runs], settings=EXACT)["cases"]
    assert f"which holds {drawn.name}" in case["error"]
    assert drawn.read_bytes() == b"drawn by hand"
    (drawn.parent / "record.json").write_text('{"status": "unfinished"}')  # a prediction that was killed wrote it
    assert predict(paths, tmp_path, models=[runs], settings=EXACT)["cases"][0]["status"] == "done"


def test_an_output_that_cannot_be_written_to_is_named_before_anything_runs(
    scan: Scan, runs: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    lines: list[str] = []
    with pytest.raises(InputError, match=r"cannot write to .*file.out"):
        predict(named={"flair": flair_of(scan)}, output=tmp_path / "file" / "out", models=[runs], log=lines.append)
    assert lines == []


def test_a_second_prediction_into_the_folder_is_refused(
    scan: Scan, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(*arguments: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(fcntl, "lockf", taken)
    with pytest.raises(InputError, match=r"another prediction is writing to .*out\. Wait for its end, or .*--output"):
        predict(named={"flair": flair_of(scan)}, output=tmp_path / "out", models=[runs])
    assert not (tmp_path / "out" / scan.name).exists()


@pytest.mark.real
def test_a_real_scan_of_another_orientation_and_spacing_is_segmented_on_its_own_grid(
    real_data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = next((real_data / "brats2018").glob("HGG/*/*_t2.nii.gz"))
    monkeypatch.setattr("pkdr_monai.inference.predictor.TorchBackend", Bright)
    card = ModelCard.read(runs / "pkdr_t2" / "models" / "model.json")
    fine = replace(card.with_weights(card.weights), spacing=(2.0, 2.0, 2.0), roi_size=(64, 64, 64))
    shutil.copytree(runs / "pkdr_t2", tmp_path / "runs" / "pkdr_t2")
    replace(fine, weights=tmp_path / "runs" / "pkdr_t2" / "models" / "model.pt").write()
    assert_segmented_on_its_own_grid(source, tmp_path / "runs", tmp_path, (3.0, 0.9, 1.4))


def test_torchrun_says_whose_share_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Shard.of_this_process() == Shard(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Shard.of_this_process() == Shard(2, 4)
    assert Shard.of_this_process().device == "cuda:1"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_the_parts_are_the_whole(count: int) -> None:
    items = list(range(5))
    parts = [Shard(rank, count).part(items) for rank in range(count)]
    assert sorted(item for part in parts for item in part) == items
    assert Shard.whole(parts) == items


def test_one_process_has_nothing_to_wait_for(tmp_path: Path) -> None:
    assert Shard().gather({"cases": [1]}, tmp_path) == [{"cases": [1]}]
    assert list(tmp_path.iterdir()) == []


def _predict(output: Path, cohort: Path, runs: Path, *launcher: str) -> dict:
    words = ["-m", "pkdr_monai", "predict", str(cohort), "-o", str(output), "--models", str(runs)]
    result = subprocess.run([sys.executable, *launcher, *words], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads((output / "run.json").read_text())


@pytest.mark.slow
def test_two_processes_write_what_one_writes(cohort: Path, runs: Path, tmp_path: Path) -> None:
    one = _predict(tmp_path / "one", cohort, runs)
    two = _predict(tmp_path / "two", cohort, runs, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    assert [case["case"] for case in two["cases"]] == [case["case"] for case in one["cases"]]
    assert two["summary"] == {"done": 2, "skipped": 0, "failed": 0}
    assert two["models"] == one["models"]
    written = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*_seg.nii.gz")}
    assert len(written) == 2
    for path in written:
        assert file_hash(tmp_path / "one" / path) == file_hash(tmp_path / "two" / path)
    assert not list((tmp_path / "two").glob(".run-*"))
    again = _predict(tmp_path / "two", cohort, runs)  # one process takes for done what two have done
    assert again["summary"] == {"done": 0, "skipped": 2, "failed": 0}
