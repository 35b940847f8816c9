from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pkdr_monai.cli import main
from tests.conftest import exit_code, save, volumes


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Label maps as nnU-Net names them, whose enhancing tumour is one voxel of 512 mm³."""
    label = volumes()["seg"]
    label[label == 4] = 1
    label[3, 3, 3] = 4
    for case in ("001", "1e5", "x"):
        save(tmp_path / "predictions" / f"{case}.nii.gz", label)
    return tmp_path / "predictions"


def test_score_writes_tables_and_tells_them(
    predictions: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["score", str(predictions), "--truth", str(dataset), "--output", str(tmp_path / "out"), "--et_rule", "600"])
    shown = capsys.readouterr().out
    assert shown.startswith("2 cases")
    assert "not scored, for want of a truth: x\n" in shown
    assert "not scored, for want of a prediction: c\n" in shown
    assert "not a medical device" in shown
    record = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert list(record["cases"]) == ["001", "1e5"]
    assert record["cases"]["001"]["dice_wt"] == 1.0
    assert record["cases"]["001"]["dice_et_rule"] == 0.0
    assert (tmp_path / "out" / "scores.csv").read_text().startswith("case,dice_wt,")


def test_lesions_are_counted_where_they_are_asked_for(
    predictions: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("score", predictions, "--truth", dataset, "--output", tmp_path / "out")
    main([*map(str, words), "--lesions", "0.5"])
    shown = capsys.readouterr().out.splitlines()
    assert "found lesions       2       2       0" in shown
    assert "missed              0       0       2" in shown
    assert "invented            0       0       2" in shown
    assert "lesion Dice     1.000   1.000   0.000" in shown
    assert "lesions of more than 50 mm³; found: an intersection over union of 0.5 or more, one to one" in shown
    record = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert (record["options"]["lesions"], record["options"]["lesion_volume"]) == (0.5, 50)
    assert record["cases"]["001"]["lesions_missed_et"] == 1
    assert (tmp_path / "out" / "scores.csv").read_text().splitlines()[0].endswith("lesion_dice_et")
    assert exit_code(*words, "--lesions", "2") == 2
    assert exit_code(*words, "--lesions") == 2  # without a threshold


def test_bad_input_ends_with_2_and_one_sentence(
    predictions: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(predictions / "c.nii.gz", np.zeros((2, 2, 2), np.uint8))
    assert exit_code("score", predictions, "--truth", dataset, "--output", tmp_path / "out") == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: case c: the prediction has 2x2x2 voxels")
    assert not (tmp_path / "out").exists()
    assert exit_code("score", predictions, "--truth", tmp_path / "absent", "--output", tmp_path / "out") == 2
    assert exit_code("score", predictions, "--truth", dataset, "--output", "o", "--et_rule", "many") == 2
