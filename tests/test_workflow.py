from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.workflow import command_line, find_configs, load_configs

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


def test_later_configs_go_before_earlier_ones(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": 1, "y": {"z": 2}}')
    (tmp_path / "b.yaml").write_text("y#z: 3")
    assert load_configs([tmp_path / "a.json", tmp_path / "b.yaml"]) == {"x": 1, "y": {"z": 3}}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("b.json", "{", "is not valid JSON or YAML"),
        ("b.yaml", "a: [", "is not valid JSON or YAML"),
        ("b.yaml", "- 1", "is no config"),
        ("b.yaml", "1: 2", "is no config"),
        ("b.txt", "a: 1", "is not valid JSON or YAML"),
        ("b.yaml", "x#0: 1", "do not go together"),
        ("b.yaml", None, "no config file"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, name: str, text: str | None, sentence: str) -> None:
    (tmp_path / "a.json").write_text('{"x": 1}')
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=rf"{sentence}"):
        load_configs([tmp_path / "a.json", tmp_path / name])
