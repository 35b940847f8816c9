"""A study goes in, a scan for pkdr predict comes out, and the record says how."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.cli import main
from pkdr_monai.errors import InputError
from pkdr_monai.inference.nifti import original_grids
from pkdr_monai.inference.scans import find_scans
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.brain import BrainSource
from pkdr_monai.prepare.study import prepare_study, segment_study
from tests.conftest import exit_code
from tests.prepare.conftest import HEADERS, ID, NAME, NUMBERS, bright_brain, write_series

ROOT = Path(__file__).resolve().parents[2]
MODEL = ["--model", str(ROOT / "bundle/models/model.pt"), "--fast", "--precision", "float32"]


def _hashes(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_four_series_become_one_scan_with_a_record(study: Path, tmp_path: Path) -> None:
    before, lines = _hashes(study), []
    prepared = prepare_study(study, tmp_path, log=lines.append)
    assert _hashes(study) == before
    (scan,) = find_scans([tmp_path])
    assert (scan.name, scan.modalities) == (prepared.case, ("t1", "t1ce", "t2", "flair"))
    record = json.loads((prepared.folder / "prepare.json").read_text())
    assert {one["number"]: one["used_as"] for one in record["series"]} == {
        **{"1": None, "7": None},
        **{str(number): modality for modality, number in NUMBERS.items()},
    }
    assert record["brain"] == {"how": "already skull-stripped"}
    assert record["images"]["t2"]["sha256"] == _hashes(tmp_path)[prepared.folder / f"{prepared.case}_t2.nii.gz"]
    assert set(record["versions"]) == {"pkdr_monai", "dcm2niix", "pydicom"}
    assert any("left out: it is a derived map (ADC)" in line for line in lines)
    assert any("contrast agent 'gadobutrol'" in line for line in lines)


def test_nobody_is_named_in_a_file_a_record_or_a_line(study: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    prepare_study(study, tmp_path, log=lines.append)
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    text = "\n".join([*lines, *written, *(path.read_text() for path in tmp_path.rglob("*.json"))]).lower()
    assert all(word.lower() not in text for word in (*NAME.split("^"), ID, "19500101", "somebody", "acc77"))


def test_a_zip_is_as_good_as_its_folder(study: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / NAME), "zip", study)
    zipped = prepare_study(archive, tmp_path / "zip", named={"flair": "5"})
    plain = prepare_study(study, tmp_path / "plain", named={"flair": "5"})
    for name in (f"{plain.case}_flair.nii.gz", "prepare.json"):
        assert (zipped.folder / name).read_bytes() == (plain.folder / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "zip").iterdir()) == [zipped.case]


def test_a_named_series_is_taken_alone_by_number_or_hash(study: Path, tmp_path: Path) -> None:
    prepared = prepare_study(study, tmp_path, named={"t2": "4"})
    assert list(prepared.series) == ["t2"]
    again = prepare_study(study, tmp_path, named={"flair": prepared.series["t2"].key})  # a person's word counts
    assert [path.name for path in again.folder.glob("*.nii.gz")] == [f"{again.case}_flair.nii.gz"]
    record = json.loads((again.folder / "prepare.json").read_text())
    (used,) = (one for one in record["series"] if one["used_as"])
    assert (used["looks_like"], used["used_as"], used["named_by_user"]) == ("t2", "flair", True)


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"t2": "44"}, "--t2 44: no series of that number or hash"),
        ({"t2": "7"}, r"--t2 7: it cannot be used: it is a derived map \(ADC\)"),
    ],
)
def test_a_name_that_fits_nothing_is_refused(study: Path, tmp_path: Path, named: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        prepare_study(study, tmp_path, named=named)


def test_what_is_uncertain_is_asked_for(patient: PhantomCase, study: Path, tmp_path: Path) -> None:
    header = HEADERS["t2"] | {"SeriesDescription": "AX FLAIR"}
    write_series(tmp_path / "in" / "odd", patient.images["t2"], 4, header)
    with pytest.raises(InputError, match=r"of no series the modality is certain: series 4 .* may be t2; name one"):
        prepare_study(tmp_path / "in", tmp_path / "out")
    write_series(tmp_path / "two" / "a", patient.images["t2"], 4, HEADERS["t2"])
    write_series(tmp_path / "two" / "b", patient.images["t2"], 6, HEADERS["t2"])
    with pytest.raises(InputError, match="both show t2: name the one to use, such as --t2 4"):
        prepare_study(tmp_path / "two", tmp_path / "out")


def test_different_grids_are_registered_and_the_transform_is_kept(patient: PhantomCase, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs the extra prepare")
    write_series(tmp_path / "in" / "a", patient.images["t2"], 4, HEADERS["t2"])
    write_series(tmp_path / "in" / "b", patient.images["flair"][:, :, :-1], 5, HEADERS["flair"])
    lines: list[str] = []
    prepared = prepare_study(tmp_path / "in", tmp_path / "out", log=lines.append)
    assert prepared.reference == "t2"
    assert any("flair lies on another grid than t2: registered to it" in line for line in lines)
    (scan,) = find_scans([tmp_path / "out"])
    t2, flair = (nib.load(path) for path in scan.paths(scan.modalities))
    assert (t2.shape, flair.shape) == ((80, 80, 32), (80, 80, 32))
    record = json.loads((prepared.folder / "prepare.json").read_text())
    moved = record["registration"]["moved"]["flair"]
    places = (
        np.array([[*corner, 1.0] for corner in np.ndindex(2, 2, 2)]) * [79, 79, 30, 1] @ np.array(moved["affine"]).T
    )
    away = np.linalg.norm((places @ (np.array(moved["matrix"]) - np.eye(4)).T)[:, :3], axis=1)
    assert away.mean() < 0.5  # the head did not move
    assert moved["shape"] == [80, 80, 31]
    read = sitk.ReadTransform(str(prepared.folder / moved["file"]))
    assert read.GetName() == "Euler3DTransform"
    assert record["versions"]["SimpleITK"] == sitk.Version_VersionString()
    grid = original_grids(prepared.folder)["flair"]
    assert (grid.shape, grid.affine.tolist()) == ((80, 80, 31), moved["affine"])
    again = prepare_study(tmp_path / "in", tmp_path / "out", named={"flair": "5"})
    assert not [*again.folder.glob("*.tfm")]
    assert original_grids(again.folder) == {}


def test_without_simpleitk_different_grids_are_refused_with_the_way_on(
    patient: PhantomCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    write_series(tmp_path / "in" / "a", patient.images["t2"], 4, HEADERS["t2"])
    write_series(tmp_path / "in" / "b", patient.images["flair"][:, :, :-1], 5, HEADERS["flair"])
    with pytest.raises(InputError, match=r"lie on different grids.*pkdr-monai\[prepare\].*name one series"):
        prepare_study(tmp_path / "in", tmp_path / "out")
    assert prepare_study(tmp_path / "in", tmp_path / "out", named={"flair": "5"}).series


def test_a_head_is_written_for_other_programs_and_their_mask_finishes_it(
    head: np.ndarray, patient: PhantomCase, tmp_path: Path
) -> None:
    source = write_series(tmp_path / "in", head, 5, HEADERS["flair"])
    with pytest.raises(InputError, match=r"does not look skull-stripped.*deepbet.*hd-bet.*give it with --brain_mask"):
        prepare_study(source, tmp_path / "out")
    (written,) = (tmp_path / "out").rglob("*.nii.gz")
    assert written.parent.name == "heads"
    image = nib.load(written)
    voxels = np.asarray(image.dataobj)
    x, y = (
        np.abs(np.linspace(-1.2, 1.2, size))[:, None] if axis else np.linspace(-1.2, 1.2, size)[:, None, None]
        for axis, size in enumerate(image.shape[:2])
    )
    z = np.linspace(-1.2, 1.2, image.shape[2])
    mask = (x**2 + y[None] ** 2 + z**2 < 1).astype(np.uint8)
    nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / "mask.nii.gz")
    prepared = prepare_study(source, tmp_path / "out", brain=BrainSource(tmp_path / "mask.nii.gz"))
    assert not written.exists()
    (result,) = (tmp_path / "out").rglob("*.nii.gz")
    assert np.array_equal(np.asarray(nib.load(result).dataobj), voxels * mask)
    record = json.loads((prepared.folder / "prepare.json").read_text())
    assert record["brain"]["mask_sha256"] == hashlib.sha256((tmp_path / "mask.nii.gz").read_bytes()).hexdigest()
    mask[: mask.shape[0] // 2 + 20] = 0
    nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / "small.nii.gz")
    with pytest.raises(InputError, match=r"flair within the brain mask is not 0 in .* mL"):
        prepare_study(source, tmp_path / "out", brain=BrainSource(tmp_path / "small.nii.gz"))


def test_an_engine_takes_the_brains_out_of_a_study_and_n4_corrects_them(
    patient: PhantomCase, head: np.ndarray, hd_bet: Callable[..., Path], tmp_path: Path
) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs the extra prepare")
    hd_bet()
    for modality, number in (("t2", 4), ("flair", 5)):
        voxels = bright_brain(patient.images[modality], head)
        write_series(tmp_path / "in" / modality, voxels, number, HEADERS[modality])
    source = BrainSource(engine="hd-bet")
    plain = prepare_study(tmp_path / "in", tmp_path / "plain", brain=source)
    record = json.loads((plain.folder / "prepare.json").read_text())
    assert (record["brain"]["how"], record["brain"]["modality"]) == ("brain mask of hd-bet", "t2")
    assert len(record["brain"]["mask_sha256"]) == 64
    assert record["bias_correction"] is None
    brain = np.asarray(nib.load(plain.folder / f"{plain.case}_flair.nii.gz").dataobj)
    assert np.count_nonzero(brain) == np.count_nonzero(patient.images["t2"])
    corrected = prepare_study(tmp_path / "in", tmp_path / "n4", brain=source, n4=True)
    record = json.loads((corrected.folder / "prepare.json").read_text())
    assert set(record["bias_correction"]["gain_percentiles_1_99"]) == {"t2", "flair"}
    assert record["versions"]["SimpleITK"] == sitk.Version_VersionString()
    even = np.asarray(nib.load(corrected.folder / f"{plain.case}_flair.nii.gz").dataobj)
    assert np.array_equal(even != 0, brain != 0)
    assert not np.array_equal(even, brain)


def test_nothing_is_written_into_the_input(study: Path, tmp_path: Path) -> None:
    source = shutil.copytree(study, tmp_path / "in")
    before = _hashes(source)
    for output in (source, source / "out"):
        with pytest.raises(InputError, match="nothing is written into"):
            prepare_study(source, output)
    assert _hashes(source) == before


def test_an_input_that_is_no_dicom_is_refused(direct: Path, tmp_path: Path, save_nifti: Callable[..., None]) -> None:
    for source in (direct, direct.parent, tmp_path):
        with pytest.raises(InputError, match="holds no DICOM files, or NIfTI files among them"):
            prepare_study(source, tmp_path / "out")
    with pytest.raises(InputError, match="there is no such input"):
        prepare_study(tmp_path / "absent", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("flair_alone", [True, False])
def test_one_command_gives_what_the_direct_way_gives(
    study: Path, direct: Path, tmp_path: Path, flair_alone: bool
) -> None:
    highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")
    named = ["--flair", "5"] if flair_alone else []
    main(["predict", str(study), "-o", str(tmp_path / "a"), *named, "--dicom_seg", *MODEL])
    main(["predict", str(direct if flair_alone else direct.parent), "-o", str(tmp_path / "b"), *MODEL])
    (mine,), (other,) = ([*(tmp_path / name).rglob("*_seg.nii.gz")] for name in "ab")
    text = "".join(path.read_text() for path in (tmp_path / "a").rglob("*.json")).lower()
    assert all(word.lower() not in text for word in (*NAME.split("^"), ID))
    here, there = nib.load(mine), nib.load(other)
    voxels, truth = np.asarray(here.dataobj), np.asarray(there.dataobj)
    places = np.argwhere(np.ones(voxels.shape, bool))
    to_there = np.linalg.inv(there.affine) @ here.affine
    index = np.rint(places @ to_there[:3, :3].T + to_there[:3, 3]).astype(int)
    moved = truth[tuple(index.T)].reshape(voxels.shape)
    for values in ((1, 2, 4), (1, 4), (4,)):
        first, second = np.isin(voxels, values), np.isin(moved, values)
        assert 2 * (first & second).sum() >= 0.97 * (first.sum() + second.sum())
    assert (voxels > 0).sum() > 1000
    segmentation = highdicom.seg.segread(mine.with_name(mine.name.replace(".nii.gz", ".dcm")))
    volume = segmentation.get_volume(combine_segments=False).array
    assert [int(part.sum()) for part in np.moveaxis(volume, -1, 0)] == [
        int(np.isin(voxels, values).sum()) for values in ((1, 4), (1, 2, 4), (4,))
    ]


def test_options_of_dicom_are_refused_for_nifti(direct: Path, tmp_path: Path) -> None:
    assert exit_code("predict", direct, "-o", tmp_path / "out", "--dicom_seg") == 2
    assert not (tmp_path / "out").exists()


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="run it without torchrun"):
        segment_study(tmp_path, tmp_path / "out", lambda folder, output: {})
