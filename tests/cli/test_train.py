from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from pkdr_monai.cli import main
from pkdr_monai.errors import plain_error_in
from pkdr_monai.workflow import find_configs, load_configs
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


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("run_name", "2024"),
        ("run_name", "1e3"),
        ("output_dir", "7"),
        ("output_dir", "out#2"),
        ("dataset_dir", "2018"),
        ("data_list_file", "007"),
        ("ckpt_dir", "[1]"),
        ("teacher_checkpoint", "2024"),
    ],
)
def test_text_stays_text_here_and_in_the_printed_command(
    runs: list[Any], capsys: pytest.CaptureFixture[str], option: str, text: str
) -> None:
    main(["train", "student", f"--{option}", text])
    assert runs[0][2][option] == text
    words = shlex.split(capsys.readouterr().out)
    printed = DefaultParseValue(words[words.index(f"--{option}") + 1])  # as MONAI's command line reads it
    parser = ConfigParser({option: printed})
    assert parser.get_parsed_content(option) == text


@pytest.mark.parametrize(("name", "folder"), [(2024, "runs/2024"), ("a", "runs/a")])
def test_a_number_that_monai_makes_of_a_name_is_text_again_in_the_config(name: Any, folder: str) -> None:
    parser = ConfigParser(load_configs([find_configs() / "train.json"]))
    parser.update({"run_name": name})
    assert parser.get_parsed_content("output_dir") == folder
    assert parser.get_parsed_content("ckpt_dir") == f"{folder}/models"
    parser.update({"output_dir": 7})
    assert parser.get_parsed_content("ckpt_dir") == "7/models"


def test_a_crop_that_the_network_cannot_see_is_one_sentence() -> None:
    parser = ConfigParser(load_configs([find_configs() / "train.json"]))
    parser.update({"roi_size": [8, 8, 8]})
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("initialize")
    assert "a roi_size of three whole numbers of at least 16" in str(plain_error_in(caught.value))
