"""Whatever is wrong with a case is one sentence, and leaves nothing behind."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.data import headers
from pkdr_monai.inference import Settings, predict
from pkdr_monai.inference.scans import Scan


def test_an_error_that_nobody_foresaw_is_a_sentence_too(
    scan: Scan, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the network\nburns")

    monkeypatch.setattr("pkdr_monai.inference.cohort.scan_probabilities", fail)
    (case,) = predict(named={"flair": scan.paths(["flair"])[0]}, output=tmp_path, models=[runs])["cases"]
    assert (case["status"], case["kind"], case["error"]) == ("failed", "unexpected", "RuntimeError: the network")


def test_a_scan_is_decompressed_once(scan: Scan, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    read = headers._read_voxels
    monkeypatch.setattr(headers, "_read_voxels", lambda path: opened.append(path) or read(path))
    path = scan.paths(["flair"])[0]
    (case,) = predict(named={"flair": path}, output=tmp_path, models=[runs])["cases"]
    assert case["status"] == "done"
    assert opened == [path]


def _truncated(path: Path, image: nib.Nifti1Image) -> None:
    nib.save(image, path)
    path.write_bytes(path.read_bytes()[:-3000])


def _with(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, nib.Nifti1Image], None]:
    def write(path: Path, image: nib.Nifti1Image) -> None:
        nib.save(nib.Nifti1Image(change(image.get_fdata(dtype=np.float32)), image.affine), path)

    return write


def _nan(voxels: np.ndarray) -> np.ndarray:
    voxels[20, 20, 16] = np.nan
    return voxels


def _ct(voxels: np.ndarray) -> np.ndarray:
    return np.where(voxels > 0, voxels / 10, -1000).astype(np.float32)


def _head(voxels: np.ndarray) -> np.ndarray:
    return voxels + 3 + np.random.default_rng(0).random(voxels.shape, np.float32)


BAD = {
    "truncated": (_truncated, r"damaged|truncated"),
    "text": (lambda path, image: path.write_text("text"), "not compressed by gzip"),
    "text in gzip": (lambda path, image: path.write_bytes(gzip.compress(b"text" * 200)), "not a readable NIfTI"),
    "four channels": (
        _with(lambda voxels: np.stack([voxels] * 4, -1)),
        r"its shape is 40x40x32x4, expected \(X, Y, Z\)",
    ),
    "NaN": (_with(_nan), "NaN or infinity in 1 of"),
    "zeros": (_with(np.zeros_like), "is 0 everywhere"),
    "CT": (_with(_ct), "looks like a CT"),
    "normalised": (_with(lambda voxels: np.where(voxels > 0, voxels - voxels[voxels > 0].mean(), 0)), "normalisation"),
    "head": (_with(_head), "does not look skull-stripped"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_is_one_sentence_and_nothing_is_written(scan: Scan, runs: Path, tmp_path: Path, kind: str) -> None:
    write, sentence = BAD[kind]
    write(tmp_path / "ann_flair.nii.gz", nib.load(scan.paths(["flair"])[0]))
    (case,) = predict(tmp_path / "ann_flair.nii.gz", tmp_path / "out", models=[runs])["cases"]
    assert (case["status"], case["kind"]) == ("failed", "input")
    assert re.search(sentence, case["error"])
    assert "ann_flair.nii.gz" in case["error"]
    assert "\n" not in case["error"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]


def test_a_head_is_segmented_on_demand(scan: Scan, runs: Path, tmp_path: Path) -> None:
    BAD["head"][0](tmp_path / "ann_flair.nii.gz", nib.load(scan.paths(["flair"])[0]))
    settings = Settings(force=True)
    (case,) = predict(tmp_path / "ann_flair.nii.gz", tmp_path / "out", models=[runs], settings=settings)["cases"]
    assert case["status"] == "done"
    assert "--force" in case["warnings"][0]


def test_modalities_on_different_grids_are_refused_where_both_are_used(scan: Scan, runs: Path, tmp_path: Path) -> None:
    image = nib.load(scan.paths(["t2"])[0])
    nib.save(image.slicer[:-1], tmp_path / "ann_t2.nii.gz")
    shutil.copy(scan.paths(["flair"])[0], tmp_path / "ann_flair.nii.gz")
    statuses = {}
    for use in ("best", "all"):
        (case,) = predict(tmp_path, tmp_path / f"out_{use}", models=[runs], settings=Settings(use=use))["cases"]
        statuses[use] = case["status"], case.get("error", "")
    assert statuses["best"][0] == "done"  # FLAIR alone
    assert "flair has 40x40x32 voxels, t2 has 39x40x32" in statuses["all"][1]


def test_two_candidates_are_listed(scan: Scan, runs: Path, tmp_path: Path) -> None:
    for name in ("ann_flair.nii.gz", "ann_t2f.nii.gz"):
        shutil.copy(scan.paths(["flair"])[0], tmp_path / name)
    (case,) = predict(tmp_path, tmp_path / "out", models=[runs])["cases"]
    assert "2 files for flair: ann_flair.nii.gz, ann_t2f.nii.gz" in case["error"]


def test_a_full_disk_is_a_sentence(scan: Scan, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pkdr_monai.inference.results.write_like", full)
    (case,) = predict(named={"flair": scan.paths(["flair"])[0]}, output=tmp_path, models=[runs])["cases"]
    assert "cannot write to" in case["error"]
    assert "No space left on device" in case["error"]
    assert not (tmp_path / scan.name).exists()


def test_a_write_that_was_cut_short_does_not_pass_for_the_earlier_result(
    scan: Scan, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = scan.paths(["flair"])[0]
    predict(image, tmp_path, models=[runs])
    with monkeypatch.context() as patch:
        patch.setattr("pkdr_monai.inference.results.draw_preview", lambda *_: 1 / 0)  # after the labels
        predict(image, tmp_path, models=[runs], settings=Settings(label_scheme="msd"))
    (case,) = predict(image, tmp_path, models=[runs])["cases"]
    assert case["status"] == "done"


def test_a_case_that_turns_unreadable_after_its_check_is_a_sentence(
    scan: Scan, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = shutil.copy(scan.paths(["flair"])[0], tmp_path / "ann_flair.nii.gz")

    def then_truncate(*arguments: object) -> list[str]:
        Path(image).write_bytes(Path(image).read_bytes()[:500])
        return []

    monkeypatch.setattr("pkdr_monai.inference.cohort.check_scan", then_truncate)
    (case,) = predict(image, tmp_path / "out", models=[runs])["cases"]
    assert case["kind"] == "input"
    assert re.fullmatch(r"case ann: .*ann_flair\.nii\.gz cannot be read: it is truncated.*", case["error"])
