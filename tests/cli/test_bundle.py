from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pkdr_monai.cli import main
from pkdr_monai.networks import PatchVNet
from tests.conftest import exit_code

SOURCE = Path(__file__).resolve().parents[2] / "bundle"


def test_build_writes_a_zip_and_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a.zip"
    main(["bundle", "build", "--source", str(SOURCE), "--output", str(output)])
    assert output.is_file()
    assert capsys.readouterr().out.endswith(f"Next: pkdr bundle verify {output}\n")


def test_the_zip_is_named_after_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main(["bundle", "build", "--source", str(SOURCE), "--name", "mine"])
    assert (tmp_path / "dist" / "mine.zip").is_file()


@pytest.mark.slow
def test_verify_tells_each_check(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "a.zip"
    main(["bundle", "build", "--source", str(SOURCE), "--output", str(output)])
    main(["bundle", "verify", str(output)])
    captured = capfd.readouterr()
    assert "network: takes and gives what the metadata says\n" in captured.out
    assert captured.out.endswith(f"{output}: verified\n")
    assert captured.err == ""


def test_what_verify_refuses_is_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    assert exit_code("bundle", "verify", tmp_path / "a.zip") == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_run_without_a_record_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "models").mkdir()
    torch.save(PatchVNet(1, init_filters=2).state_dict(), tmp_path / "models" / "model.pt")
    assert exit_code("bundle", "build", "--source", SOURCE, "--run", tmp_path, "--output", tmp_path / "a.zip") == 2
    assert "run.json" in capsys.readouterr().err
    (tmp_path / "run.json").write_text(json.dumps({"settings": {}}))
    assert exit_code("bundle", "build", "--source", SOURCE, "--run", tmp_path, "--output", tmp_path / "a.zip") == 2


def test_an_output_that_cannot_be_written_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert exit_code("bundle", "build", "--source", SOURCE, "--output", tmp_path / "file" / "a.zip") == 2
    assert capsys.readouterr().err.startswith("error: cannot write ")
