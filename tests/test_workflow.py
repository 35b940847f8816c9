from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.workflow import command_line, find_configs

ROOT = Path(__file__).resolve().parents[1]


def test_line_gives_a_shell_back_what_went_in() -> None:
    options = {"modality": "t1+flair", "roi_size": [64, 64, 64], "output_dir": "my runs/a"}
    words = shlex.split(command_line("training", [Path("a.json"), Path("b.yaml")], options))
    assert words[:7] == ["python", "-m", "monai.bundle", "run", "training", "--config_file", "['a.json','b.yaml']"]
    assert words[7:] == ["--modality", "t1+flair", "--roi_size", "[64, 64, 64]", "--output_dir", "my runs/a"]


def test_configs_at_hand_go_before_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_configs() == ROOT / "bundle" / "configs"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.json").touch()
    assert find_configs() == Path("configs")


def test_without_a_bundle_anywhere_it_says_what_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pkdr_monai.workflow.__file__", str(tmp_path / "site" / "pkdr_monai" / "workflow.py"))
    with pytest.raises(InputError, match="no bundle here: expected"):
        find_configs()
