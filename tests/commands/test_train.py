from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.cli import main
from tests.conftest import exit_code


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], dict[str, Any]]]:
    """What reached the bundle, which does not run."""
    seen: list[tuple[str, list[str], dict[str, Any]]] = []

    def run_bundle(run_id: str, configs: list[Path], options: dict[str, Any]) -> None:
        seen.append((run_id, [config.name for config in configs], options))

    monkeypatch.setattr("pkdr_monai.workflow.run_bundle", run_bundle)
    return seen


def test_student_is_train_json_with_the_settings_asked_for(runs: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "student", "--modality", "flair", "--max_epochs", "300", "--loss#beta", "0.3"])
    folders = {"dataset_dir": "data", "data_list_file": "datalist.json"}
    assert runs == [("training", ["train.json"], {**folders, "modality": "flair", "max_epochs": 300, "loss#beta": 0.3})]
    line = capsys.readouterr().out
    assert line.startswith("python -m monai.bundle run training --config_file \"['")
    assert "--max_epochs 300" in line


def test_teacher_and_overlays_stand_behind_train_json_in_their_order(runs: list[Any]) -> None:
    overlay = Path(__file__).parents[2] / "experiments" / "controls" / "patch_size_8.yaml"
    main(["train", "teacher", "--overlays", str(overlay)])
    assert runs[0][1] == ["train.json", "train_teacher.json", "patch_size_8.yaml"]


def test_dry_run_only_prints(runs: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "student", "--modality", "t2", "--dry_run"])
    assert runs == []
    assert "--modality t2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["pupil"], "cannot train 'pupil': expected teacher or student"),
        (["student", "--epcohs", "3"], "unknown key 'epcohs'; did you mean 'max_epochs'?"),
        (["student", "--loss#betta", "3"], "unknown key 'loss#betta'; did you mean 'loss#beta'?"),
        (["student", "--overlays", "nowhere.yaml"], "no config file nowhere.yaml"),
    ],
)
def test_slip_ends_with_2_and_the_nearest_key(
    runs: list[Any], words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code("train", *words) == 2
    assert complaint in capsys.readouterr().err
    assert runs == []


def test_input_error_within_the_bundle_is_one_sentence(tmp_path: Path) -> None:
    absent = tmp_path / "absent.json"
    words = ["train", "teacher", "--data_list_file", str(absent), "--output_dir", str(tmp_path / "run")]
    finished = subprocess.run([sys.executable, "-m", "pkdr_monai", *words], capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].startswith(f"error: cannot read {absent}")
    assert "Traceback" not in finished.stderr
