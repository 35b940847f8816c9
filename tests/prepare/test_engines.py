"""Engines are called as their documents say, and what they do wrong becomes one sentence."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.brain import BrainSource, find_brains
from pkdr_monai.prepare.engines import carrier_of, extract_brain
from pkdr_monai.prepare.volume import Volume
from tests.prepare.conftest import SPACING, bright_brain

AFFINE = np.diag([*SPACING, 1.0])


@pytest.fixture
def heads(patient: PhantomCase, head: np.ndarray) -> dict[str, Volume]:
    return {name: Volume(bright_brain(patient.images[name], head), AFFINE) for name in ("t1", "flair")}


def test_hd_bet_is_called_by_the_options_of_its_second_version(
    heads: dict[str, Volume], hd_bet: Callable[..., Path], tmp_path: Path
) -> None:
    said = hd_bet()
    found = extract_brain("hd-bet", heads["flair"], tmp_path)
    assert np.array_equal(found.mask.voxels, heads["flair"].voxels > 1000)
    assert np.allclose(found.mask.affine, AFFINE)
    assert (found.version, found.weights) == ("unknown", None)
    words = json.loads(said.read_text())["words"]
    assert [Path(words[1]).name, Path(words[3]).name] == ["head.nii.gz", "brain.nii.gz"]
    assert words[::2][:2] == ["-i", "-o"]
    assert words[4:] in (
        ["-device", "cpu", "--disable_tta", "--save_bet_mask", "--no_bet_image"],
        ["-device", "cuda", "--save_bet_mask", "--no_bet_image"],
    )


def test_weights_of_a_folder_lie_where_hd_bet_looks_and_their_hash_is_kept(
    heads: dict[str, Volume], hd_bet: Callable[..., Path], tmp_path: Path
) -> None:
    said, weights = hd_bet(), tmp_path / "release"
    with pytest.raises(InputError, match=r"--brain_weights .* holds no fold_all/checkpoint_final.pth"):
        extract_brain("hd-bet", heads["t1"], _folder(tmp_path / "a"), weights)
    (weights / "fold_all").mkdir(parents=True)
    (weights / "fold_all" / "checkpoint_final.pth").write_bytes(b"weights")
    found = extract_brain("hd-bet", heads["t1"], _folder(tmp_path / "b"), weights)
    assert json.loads(said.read_text())["weights"] == "weights"
    assert found.weights == file_hash(weights / "fold_all" / "checkpoint_final.pth")


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        ("sys.exit('out of memory')", r"hd-bet failed: exit code 1: out of memory\. Choose another engine"),
        ("sys.exit(0)", "hd-bet failed: it left no mask that can be read"),
        ("voxels = voxels[1:]", r"hd-bet failed: its mask has \(79, 80, 32\) voxels, the image \(80, 80, 32\)"),
    ],
)
def test_what_hd_bet_does_wrong_is_one_sentence(
    heads: dict[str, Volume], hd_bet: Callable[..., Path], tmp_path: Path, does: str, sentence: str
) -> None:
    hd_bet(does)
    with pytest.raises(InputError, match=sentence):
        extract_brain("hd-bet", heads["t1"], tmp_path)


def test_an_absent_command_is_named(heads: dict[str, Volume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"needs the command hd-bet on PATH: .*--brain_mask FILE"):
        extract_brain("hd-bet", heads["t1"], tmp_path)


def test_an_absent_deepbet_is_named(heads: dict[str, Volume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(InputError, match=r"not installed \(deepbet\): pip install 'pkdr-monai\[brain\]'"):
        extract_brain("deepbet", heads["t1"], tmp_path)


@pytest.mark.parametrize("kind", [AssertionError, RuntimeError, ValueError, IndexError])
def test_what_deepbet_raises_is_one_sentence(
    heads: dict[str, Volume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def run_bet(*arguments: Any, **options: Any) -> None:
        raise kind("Not enough foreground\nto calculate bounding box")

    monkeypatch.setitem(sys.modules, "deepbet", types.SimpleNamespace(run_bet=run_bet))
    sentence = rf"deepbet failed: {kind.__name__}: Not enough foreground to calculate bounding box\. Choose another"
    with pytest.raises(InputError, match=sentence):
        extract_brain("deepbet", heads["t1"], tmp_path)


def test_t1_carries_the_mask_for_the_others(
    heads: dict[str, Volume], hd_bet: Callable[..., Path], tmp_path: Path
) -> None:
    hd_bet()
    lines: list[str] = []
    brains, how = find_brains(heads, BrainSource(engine="hd-bet"), tmp_path, tmp_path / "heads", "case", lines.append)
    mask = heads["t1"].voxels > 1000
    assert all(np.array_equal(brains[name].voxels, heads[name].voxels * mask) for name in heads)
    assert lines == ["hd-bet looks for the brain in t1"]
    assert (how["engine"], how["version"], how["modality"]) == ("hd-bet", "unknown", "t1")
    assert how["mask_sha256"] == file_hash(tmp_path / "mask.nii.gz")
    assert not (tmp_path / "heads").exists()


def test_an_engine_without_its_modality_names_the_choices(heads: dict[str, Volume], tmp_path: Path) -> None:
    assert carrier_of("deepbet", ["t2", "t1ce"]) == "t1ce"
    flair = {"flair": heads["flair"]}
    with pytest.raises(InputError, match=r"takes t1 and t1ce, and there is flair alone: .*hd-bet.*--brain_mask FILE"):
        find_brains(flair, BrainSource(engine="deepbet"), tmp_path, tmp_path / "heads", "case")
    assert [path.name for path in (tmp_path / "heads").iterdir()] == ["case_flair.nii.gz"]  # for another program


@pytest.mark.parametrize(
    ("does", "sentence"),
    [
        ("voxels[:] = 0", "t1 within the brain mask of hd-bet is 0 everywhere"),
        ("voxels[:] = 1", "t1 within the brain mask of hd-bet does not look skull-stripped"),
        ("voxels[8:-8, 8:-8] = 1", "t1 within the brain mask of hd-bet does not look skull-stripped: it is not 0 in 3"),
        ("voxels[:58] = 0", r"t1 within the brain mask of hd-bet is not 0 in \d+ mL; a whole brain has at least 250"),
    ],
)
def test_a_mask_of_no_brain_is_refused_and_left_to_look_at(
    heads: dict[str, Volume], hd_bet: Callable[..., Path], tmp_path: Path, does: str, sentence: str
) -> None:
    """Empty, all of the image, a whole head, and a piece of the brain."""
    hd_bet(does)
    with pytest.raises(InputError, match=sentence):
        find_brains(heads, BrainSource(engine="hd-bet"), tmp_path, tmp_path / "heads", "case")
    left = sorted(path.name for path in (tmp_path / "heads").iterdir())
    assert left == ["case_brain.nii.gz", "case_flair.nii.gz", "case_t1.nii.gz"]
    assert nib.load(tmp_path / "heads" / "case_brain.nii.gz").get_data_dtype() == np.uint8


def test_a_brain_of_unusual_size_is_doubted(
    heads: dict[str, Volume], hd_bet: Callable[..., Path], tmp_path: Path
) -> None:
    hd_bet("voxels[:, :, : voxels.shape[2] // 2 + 1] = 0")
    lines: list[str] = []
    find_brains(heads, BrainSource(engine="hd-bet"), tmp_path, tmp_path / "heads", "case", lines.append)
    assert lines[1].startswith("look at the result: t1 within the brain mask of hd-bet shows a brain of ")


def test_no_engine_runs_on_what_is_a_brain_already(patient: PhantomCase, tmp_path: Path) -> None:
    lines: list[str] = []
    brain = {"t2": Volume(patient.images["t2"], AFFINE)}
    brains, how = find_brains(brain, BrainSource(engine="deepbet"), tmp_path, tmp_path / "heads", "case", lines.append)
    assert brains == brain
    assert how == {"how": "already skull-stripped"}
    assert lines == ["the images are skull-stripped already: deepbet was not run"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"engine": "bet"}, "unknown --brain bet: choose among --brain deepbet"),
        ({"engine": "deepbet", "mask": Path("m.nii.gz")}, "both say where the brain is: give one"),
        ({"engine": "deepbet", "weights": Path("w")}, "--brain_weights is for --brain hd-bet"),
    ],
)
def test_sources_that_contradict_each_other_are_refused(words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        BrainSource(**words)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
