"""Cases that lack a modality train a student for any subset, and no other network."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch

from pkdr_monai.cli import main
from pkdr_monai.losses import PKDRLoss
from pkdr_monai.losses.base import Prediction
from pkdr_monai.networks import PatchVNet

from .conftest import CONFIGS, TEACHER, Bundle

ANY_SUBSET, STRONG, CACHED = (CONFIGS / f"{name}.json" for name in ("any_subset", "strong_train", "cached_train"))
SEEN = list[tuple[list[bool], list[list[bool]]]]
"""Of each batch: which samples are complete, and which channels the teacher saw of each."""


@pytest.fixture(scope="module")
def incomplete(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A cohort in which three of eight cases lack a modality or two."""
    folder = tmp_path_factory.mktemp("incomplete")
    shutil.copytree(bundle.cohort, folder / "cohort")
    cases = sorted(path for path in (folder / "cohort").glob("*/*") if path.is_dir())
    for case, lacking in zip(cases, ("t1ce", "flair", "t1ce t2"), strict=False):
        for modality in lacking.split():
            (case / f"{case.name}_{modality}.nii.gz").unlink()
    main(["data", "split", str(folder / "cohort"), "--output", str(folder / "list.json"), "--incomplete"])
    return Bundle(folder / "cohort", folder / "list.json")


@pytest.fixture(scope="module")
def teacher_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "model.pt"
    torch.save(PatchVNet(4, init_filters=2, patch_head=True).state_dict(), path)
    return path


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> SEEN:
    batches: SEEN = []
    compute = PKDRLoss.forward

    def note(self: PKDRLoss, prediction: Prediction, label: torch.Tensor) -> torch.Tensor:
        shown = prediction["student"]["image"].flatten(2).any(2).tolist()
        batches.append((prediction["teacher"]["complete"].tolist(), shown))
        return compute(self, prediction, label)

    monkeypatch.setattr(PKDRLoss, "forward", note)
    return batches


def test_the_list_keeps_incomplete_cases_for_training(incomplete: Bundle) -> None:
    data_list = json.loads(incomplete.data_list.read_text())
    held = {section: [len(entry["channels"]) for entry in data_list[section]] for section in ("training", "validation")}
    assert sorted(held["training"]) == [2, 3, 3, 4, 4, 4]
    assert held["validation"] == [4]


@pytest.mark.parametrize("overlays", [(), (STRONG,), (CACHED,)], ids=["plain", "strong", "cached"])
def test_an_any_subset_student_learns_from_them_with_what_they_have(
    incomplete: Bundle, teacher_weights: Path, seen: SEEN, overlays: tuple[Path, ...], tmp_path: Path
) -> None:
    run = incomplete.train(tmp_path / "run", ANY_SUBSET, *overlays, teacher_checkpoint=teacher_weights)
    samples = [pair for complete, shown in seen for pair in zip(complete, shown, strict=True)]
    assert len(samples) == 2 * 6  # two epochs
    kinds = sorted(tuple(shown) for complete, shown in samples if not complete)
    everything = (True,) * 4
    assert kinds == sorted(2 * [(True, False, True, True), (True, True, True, False), (True, False, False, True)])
    assert [tuple(shown) for complete, shown in samples if complete] == 6 * [everything]
    with (run / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert all(torch.isfinite(torch.tensor(losses)))
    assert (run / "models" / "model.pt").is_file()


def test_networks_that_need_all_modalities_leave_them_out_with_a_warning(
    incomplete: Bundle, teacher_weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        incomplete.train(tmp_path / "teacher", TEACHER, max_epochs=1)
        incomplete.train(tmp_path / "student", max_epochs=1, teacher_checkpoint=teacher_weights)
    assert caplog.text.count("training leaves out 3 of 6 cases") == 2


def test_a_student_of_one_modality_refuses_them(incomplete: Bundle, teacher_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as raised:
        incomplete.train(tmp_path / "student", teacher_checkpoint=teacher_weights, incomplete=True)
    assert "serve a student for any subset of the modalities alone" in str(raised.value.__cause__)
    assert not (tmp_path / "student" / "models").exists()
